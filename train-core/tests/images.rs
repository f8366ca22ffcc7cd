//! Pixels of JPEGs against libjpeg's.

use train_core::data::{Color, Image};

#[test]
fn jpegs_are_within_a_few_levels_of_libjpegs() {
    for (name, most) in [("grey", 1.0), ("photo_444", 2.0), ("photo", 3.0)] {
        let open = |ending: &str| {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/classify");
            Image::open(format!("{folder}/{name}.{ending}"), Color::Rgb).unwrap()
        };
        let (found, expected) = (open("jpg"), open("decoded.png"));
        assert_eq!(found.dims(), expected.dims());
        let pairs = found.values().iter().zip(expected.values());
        let away = pairs.map(|(a, b)| (a - b).abs() * 255.0).collect::<Vec<_>>();
        let mean = away.iter().sum::<f32>() / away.len() as f32;
        let largest = away.iter().copied().fold(0.0, f32::max);
        assert!(largest < most + 0.01 && mean < 0.4, "{name}: {largest} levels at most, {mean} on average");
    }
}
