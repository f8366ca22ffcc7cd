//! Long series of noisy values, made drawable.

/// The most points of a line, about: two for each pixel of a chart's width would not be seen apart.
const MOST_POINTS: usize = 1200;

/// Shorter series are not smoothed.
const FEW: usize = 40;

/// Each value's mean with its neighbours, a twenty-fifth of the series at most; `None` where there are too few for it
/// to tell something. Values that are no numbers count for none and stay where they are.
pub(crate) fn smoothed(points: &[[f64; 2]]) -> Option<Vec<[f64; 2]>> {
    if points.len() < FEW {
        return None;
    }
    let reach = points.len() / 50;
    let mut sums = vec![(0.0, 0usize)];
    for &[_, value] in points {
        let (sum, count) = sums[sums.len() - 1];
        sums.push(if value.is_finite() { (sum + value, count + 1) } else { (sum, count) });
    }
    let mean = |index: usize| {
        // Near both ends fewer, on either side, so that these are not drawn to the middle; but half as many at least.
        let near = index.min(points.len() - 1 - index).max(reach / 2).min(reach);
        let ((from, before), (to, after)) =
            (sums[index.saturating_sub(near)], sums[(index + near + 1).min(points.len())]);
        (to - from) / (after - before) as f64
    };
    let value = |index: usize, value: f64| if value.is_finite() { mean(index) } else { f64::NAN };
    Some(points.iter().enumerate().map(|(index, &[x, y])| [x, value(index, y)]).collect())
}

/// The points, or of too many the lowest and highest of each of as many groups as can be seen: no peak is lost.
pub(crate) fn thinned(points: Vec<[f64; 2]>) -> Vec<[f64; 2]> {
    if points.len() <= MOST_POINTS {
        return points;
    }
    let size = points.len().div_ceil(MOST_POINTS / 2);
    let mut kept = Vec::with_capacity(MOST_POINTS);
    for group in points.chunks(size) {
        let numbers = (0..group.len()).filter(|&index| group[index][1].is_finite());
        let by = |&a: &usize, &b: &usize| group[a][1].total_cmp(&group[b][1]);
        let (low, high) = (numbers.clone().min_by(by), numbers.max_by(by));
        match low.zip(high) {
            Some((low, high)) if low == high => kept.push(group[low]),
            Some((low, high)) => kept.extend([group[low.min(high)], group[low.max(high)]]),
            // A gap stays one.
            None => kept.push(group[0]),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_averaged_and_trends_stay() {
        let points = (0..200).map(|x| [f64::from(x), f64::from(x) + f64::from(x % 2)]).collect::<Vec<_>>();
        let smooth = smoothed(&points).unwrap();
        assert_eq!(smooth.len(), 200);
        assert_eq!((smooth[0], smooth[199]), ([0.0, 4.0 / 3.0], [199.0, 596.0 / 3.0]));
        assert!(smooth.iter().skip(4).take(190).all(|[x, y]| (y - x - 0.5).abs() < 0.1));
        assert_eq!(smoothed(&points[..FEW - 1]), None);
        let mut holed = points.clone();
        holed[100][1] = f64::NAN;
        let smooth = smoothed(&holed).unwrap();
        assert!(smooth[100][1].is_nan() && (smooth[101][1] - 101.5).abs() < 1.0);
    }

    #[test]
    fn peaks_survive_thinning() {
        let mut points = (0..100_000).map(|x| [f64::from(x), 1.0]).collect::<Vec<_>>();
        points[54_321][1] = 9.0;
        points[54_322][1] = -9.0;
        let thin = thinned(points);
        assert!(thin.len() <= MOST_POINTS);
        assert!(thin.contains(&[54_321.0, 9.0]) && thin.contains(&[54_322.0, -9.0]));
        assert!(thin.is_sorted_by(|a, b| a[0] < b[0]));
        let gap = (0..2000).map(|x| [f64::from(x), f64::NAN]).collect::<Vec<_>>();
        assert!(thinned(gap).iter().all(|point| point[1].is_nan()));
    }
}
