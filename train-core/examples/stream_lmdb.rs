//! Streams an LMDB of 100,000 images, one in a hundred of them damaged, and prints what it took.
//!
//! ```text
//! cargo run --release -p train-core --example stream_lmdb [IMAGES] [FILE]
//! ```
//! FILE is written if it is not there, and kept. Without FILE, the data base is written to the system's folder for temporary
//! files, and removed at the end.

use std::error::Error;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use caffe_proto::net::params::{Mean, Transform};
use caffe_proto::proto::{Datum, Phase};
use prost::Message as _;
use train_core::data::{Decode, Images, LmdbImages, Loader, LoaderOptions, Position, Preparation};

use crate::lmdb_writer::LmdbWriter;

#[path = "../tests/support/lmdb_writer.rs"]
mod lmdb_writer;

const SIDE: usize = 64;
const BATCH: usize = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let images = arguments.next().map_or(Ok(100_000), |count| count.parse::<usize>())?;
    let given = arguments.next().map(PathBuf::from);
    let file = given
        .clone()
        .unwrap_or_else(|| std::env::temp_dir().join(format!("rebrew-stream-{}.mdb", std::process::id())));
    if !file.exists() {
        write(&file, images)?;
    }
    let result = stream(&file, images);
    if given.is_none() {
        fs::remove_file(&file)?;
    }
    result
}

/// Every second image is a PNG, the others are bytes; of a hundred, one is cut short or overwritten.
fn write(file: &Path, images: usize) -> Result<(), Box<dyn Error>> {
    let start = Instant::now();
    let mut lmdb = LmdbWriter::new(BufWriter::new(File::create(file)?))?;
    let mut noise = 1_u32;
    for number in 0..images {
        let mut pixels = (0..3 * SIDE * SIDE)
            .map(|at| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (at / SIDE + number) as u8 ^ (noise >> 29) as u8
            })
            .collect::<Vec<_>>();
        let mut datum = Datum { label: Some((number % 10) as i32), ..Datum::default() };
        if number % 2 == 1 {
            pixels = png(&pixels)?;
            datum.encoded = Some(true);
        } else {
            (datum.channels, datum.height, datum.width) = (Some(3), Some(SIDE as i32), Some(SIDE as i32));
        }
        if number % 200 == 50 {
            pixels.truncate(pixels.len() / 2);
        }
        if number % 200 == 151 {
            let middle = pixels.len() / 2;
            pixels[middle..middle + 9].fill(0x55);
        }
        datum.data = Some(pixels);
        lmdb.put(format!("{number:08}").as_bytes(), &datum.encode_to_vec())?;
    }
    lmdb.finish()?;
    println!("written: {} MB in {:.1?}", fs::metadata(file)?.len() / 1_000_000, start.elapsed());
    Ok(())
}

fn stream(file: &Path, images: usize) -> Result<(), Box<dyn Error>> {
    let transform = Transform {
        scale: 1.0,
        mirror: true,
        crop: Some([56, 56]),
        mean: Mean::Values(vec![104.0, 117.0, 123.0]),
        force_color: false,
        force_gray: false,
    };
    let preparation = Preparation { decode: Decode::AsIs, resize: None };
    for (shuffle, threads) in [(false, 1), (true, 2)] {
        let start = Instant::now();
        let source = Box::new(LmdbImages::open(file)?);
        let feed = Arc::new(Images::new(source, preparation, &transform, Phase::Train, Path::new(""))?);
        let opened = start.elapsed();
        let options = LoaderOptions { shuffle, threads, ..LoaderOptions::new(BATCH) };
        let mut loader = Loader::new(feed, options, Position::default())?;
        let mut samples = 0;
        while loader.position().epoch == 0 {
            samples += loader.next_batch()?.samples.len();
        }
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{}, threads: {threads}: opened in {opened:.1?}; {samples} of {images} images, {:.0} a second; {} broken, as {}",
            if shuffle { "shuffled" } else { "in order" },
            samples as f64 / seconds,
            loader.broken_count(),
            loader
                .broken()
                .first()
                .map_or_else(String::new, |broken| format!("{}: {}", broken.name, broken.what)),
        );
        if let Some(peak) = peak() {
            println!("most memory so far: {peak} MiB");
        }
    }
    Ok(())
}

fn png(pixels: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, SIDE as u32, SIDE as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header()?.write_image_data(pixels)?;
    Ok(bytes)
}

/// The most memory that was resident, pages of mapped files included; Linux says.
fn peak() -> Option<usize> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches("kB").trim().parse::<usize>().ok()? / 1024)
}
