//! SSD's DetectionOutput.

use caffe_proto::net::params::{BoxCode, DetectionOutputParams, Suppression};

use super::frame::{Operation, free_form};
use super::make::Make;
use crate::plan::Step;

/// Image, class, score, and the box: x and y of the first and of the last corner, as shares of the image.
pub(super) const ROW: usize = 7;

/// Places N×(P·4), scores N×(P·classes), priors 1×2×(P·4) → 1×1×found×7: boxes that are well above their neighbours,
/// by image, then by class, best first. Without any, one row of −1 an image.
pub(super) fn detection_output(
    make: &Make<'_>,
    step: &Step,
    p: &DetectionOutputParams,
) -> Box<dyn Operation> {
    let bottoms = &make.shapes(step).bottoms;
    let lens: Vec<usize> = bottoms.iter().map(|bottom| bottom.iter().product()).collect();
    let mut detector = Detector::new(p.clone(), bottoms);
    let mut staging: [Vec<f32>; 3] = Default::default();
    free_form(move |frame| {
        let inputs = frame.inputs();
        let [places, scores, priors] = &mut staging;
        let places = inputs.floats(0, lens[0], places)?;
        let scores = inputs.floats(1, lens[1], scores)?;
        let priors = inputs.floats(2, lens[2], priors)?;
        detector.detect(places, scores, priors);
        let rows = &detector.rows;
        frame.produce(0, |inputs, top, _| inputs.backend.write(top, 0, rows))?;
        frame.set_extent(0, 2, rows.len() / ROW);
        Ok(())
    })
}

/// The most rows that there can be.
pub(super) fn most_rows(p: &DetectionOutputParams, bottoms: &[Vec<usize>]) -> usize {
    let (images, priors) = (bottoms[0][0], priors(bottoms));
    let each = p.suppression.top_k.map_or(priors, |most| most.min(priors));
    let all = each.saturating_mul(p.num_classes);
    images * p.keep_top_k.map_or(all, |most| most.min(all)).max(1)
}

type Corners = [f32; 4];

/// A box that is kept for now.
#[derive(Clone, Copy)]
struct Found {
    class: usize,
    prior: usize,
    score: f32,
}

struct Detector {
    p: DetectionOutputParams,
    images: usize,
    priors: usize,
    /// The boxes of one class in one image.
    boxes: Vec<Corners>,
    /// Of the class at hand, best first.
    candidates: Vec<(f32, usize)>,
    kept: Vec<usize>,
    /// Of one image, class by class.
    found: Vec<(Found, Corners)>,
    /// The result.
    rows: Vec<f32>,
}

impl Detector {
    fn new(p: DetectionOutputParams, bottoms: &[Vec<usize>]) -> Self {
        let (images, priors) = (bottoms[0][0], priors(bottoms));
        let rows = Vec::with_capacity(most_rows(&p, bottoms) * ROW);
        let each = p.suppression.top_k.map_or(priors, |most| most.min(priors));
        Self {
            images,
            priors,
            boxes: Vec::with_capacity(priors),
            candidates: Vec::with_capacity(priors),
            kept: Vec::with_capacity(each),
            found: Vec::with_capacity(each * p.num_classes),
            rows,
            p,
        }
    }

    fn detect(&mut self, places: &[f32], scores: &[f32], priors: &[f32]) {
        self.rows.clear();
        for image in 0..self.images {
            self.find(image, places, scores, priors);
            for (Found { class, score, .. }, corners) in &self.found {
                self.rows.extend([image as f32, *class as f32, *score]);
                self.rows.extend(corners);
            }
        }
        if self.rows.is_empty() {
            for image in 0..self.images {
                self.rows.extend([image as f32, -1.0, -1.0, -1.0, -1.0, -1.0, -1.0]);
            }
        }
    }

    /// The boxes of one image.
    fn find(&mut self, image: usize, places: &[f32], scores: &[f32], priors: &[f32]) {
        self.found.clear();
        if self.p.share_location {
            self.decode(image, 0, places, priors);
        }
        for class in 0..self.p.num_classes {
            if i64::from(self.p.background_label_id) == class as i64 {
                continue;
            }
            if !self.p.share_location {
                self.decode(image, class, places, priors);
            }
            let score = |prior: usize| scores[(image * self.priors + prior) * self.p.num_classes + class];
            self.candidates.clear();
            let least = self.p.confidence_threshold.unwrap_or(-f32::MAX);
            self.candidates.extend(
                (0..self.priors).map(|prior| (score(prior), prior)).filter(|&(score, _)| score > least),
            );
            best_first(&mut self.candidates);
            self.candidates.truncate(self.p.suppression.top_k.unwrap_or(usize::MAX));
            suppress(&self.p.suppression, &self.boxes, &self.candidates, &mut self.kept);
            for &prior in &self.kept {
                self.found.push((Found { class, prior, score: score(prior) }, self.boxes[prior]));
            }
        }
        if let Some(most) = self.p.keep_top_k.filter(|&most| self.found.len() > most) {
            self.found.sort_unstable_by(|(a, _), (b, _)| {
                b.score.total_cmp(&a.score).then((a.class, a.prior).cmp(&(b.class, b.prior)))
            });
            self.found.truncate(most);
            self.found.sort_unstable_by(|(a, _), (b, _)| {
                a.class.cmp(&b.class).then(b.score.total_cmp(&a.score)).then(a.prior.cmp(&b.prior))
            });
        }
    }

    fn decode(&mut self, image: usize, class: usize, places: &[f32], priors: &[f32]) {
        let (boxes, variances) = priors.split_at(self.priors * 4);
        let classes = if self.p.share_location { 1 } else { self.p.num_classes };
        self.boxes.clear();
        for prior in 0..self.priors {
            let start = ((image * self.priors + prior) * classes + class) * 4;
            let four =
                |values: &[f32], start: usize| -> Corners { std::array::from_fn(|at| values[start + at]) };
            let mut place = four(places, start);
            if !self.p.variance_encoded_in_target {
                let variance = four(variances, prior * 4);
                place.iter_mut().zip(variance).for_each(|(value, variance)| *value *= variance);
            }
            self.boxes.push(decoded(self.p.code, four(boxes, prior * 4), place));
        }
    }
}

fn priors(bottoms: &[Vec<usize>]) -> usize {
    bottoms[2].get(2).map_or(0, |values| values / 4)
}

/// Descending, the earlier of equals first, without allocating.
fn best_first(candidates: &mut [(f32, usize)]) {
    candidates.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
}

/// A box from a prediction, which has its variances in it.
fn decoded(code: BoxCode, prior: Corners, place: Corners) -> Corners {
    let [x0, y0, x1, y1] = prior;
    let (width, height) = (x1 - x0, y1 - y0);
    match code {
        BoxCode::Corner => std::array::from_fn(|at| prior[at] + place[at]),
        BoxCode::CornerSize => {
            std::array::from_fn(|at| prior[at] + place[at] * if at % 2 == 0 { width } else { height })
        }
        BoxCode::CenterSize => {
            let x = place[0] * width + f32::midpoint(x0, x1);
            let y = place[1] * height + f32::midpoint(y0, y1);
            let (wide, high) = (place[2].exp() * width, place[3].exp() * height);
            [x - wide / 2.0, y - high / 2.0, x + wide / 2.0, y + high / 2.0]
        }
    }
}

/// Keeps a candidate unless it overlaps a better one too much.
fn suppress(p: &Suppression, boxes: &[Corners], candidates: &[(f32, usize)], kept: &mut Vec<usize>) {
    kept.clear();
    let mut threshold = p.threshold;
    for &(_, candidate) in candidates {
        if kept.iter().all(|&better| overlap(boxes[candidate], boxes[better]) <= threshold) {
            kept.push(candidate);
            if p.eta < 1.0 && threshold > 0.5 {
                threshold *= p.eta;
            }
        }
    }
}

/// The intersection's share of the union.
fn overlap(a: Corners, b: Corners) -> f32 {
    let width = a[2].min(b[2]) - a[0].max(b[0]);
    let height = a[3].min(b[3]) - a[1].max(b[1]);
    if width <= 0.0 || height <= 0.0 {
        return 0.0;
    }
    let common = width * height;
    common / (area(a) + area(b) - common)
}

fn area([x0, y0, x1, y1]: Corners) -> f32 {
    if x1 < x0 || y1 < y0 { 0.0 } else { (x1 - x0) * (y1 - y0) }
}
