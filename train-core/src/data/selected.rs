//! Some samples of a source, with their classes numbered anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::random::{Draw, Purpose};
use super::{Error, Result, Sample, Source};

/// Samples chosen from a source.
#[derive(Clone)]
pub struct Selected {
    source: Arc<dyn Source>,
    samples: Vec<u32>,
    /// The class of each sample, as it was when it was chosen.
    labels: Vec<i32>,
    /// The old label of each class.
    old: Vec<i32>,
    classes: Vec<String>,
}

impl Selected {
    /// All samples of a source whose label can be read, of all classes, or of those named: their old labels, in the order
    /// of the new.
    ///
    /// # Errors
    /// When a label is below 0, or none is left of a class that was asked for.
    pub fn of(source: Arc<dyn Source>, classes: Option<&[usize]>) -> Result<Self> {
        let mut labels = Vec::with_capacity(source.len());
        for index in 0..source.len() {
            let label = source.label(index).ok();
            if let Some(label) = label.filter(|label| *label < 0) {
                let what = format!("its class is {label}: classes are counted from 0");
                return Err(Error::Sample { sample: source.name(index), what });
            }
            labels.push(label);
        }
        let most = labels.iter().flatten().max().map_or(0, |label| label + 1);
        let most = most.max(source.classes().len() as i32);
        let old = match classes {
            Some(classes) => classes.iter().map(|&class| class as i32).collect(),
            None => (0..most).collect::<Vec<_>>(),
        };
        let name = |&label: &i32| match source.classes().get(label as usize) {
            Some(name) => name.clone(),
            None => label.to_string(),
        };
        let names = old.iter().map(name).collect();
        let mut this = Self { samples: Vec::new(), labels: Vec::new(), old, classes: names, source };
        // What has no label that can be read is broken: it stays with the first class, to be named when its turn comes.
        for (index, label) in labels.iter().enumerate() {
            let class = match label {
                Some(label) => this.old.iter().position(|old| old == label),
                None => classes.is_none().then_some(0),
            };
            if let Some(class) = class {
                this.samples.push(index as u32);
                this.labels.push(class as i32);
            }
        }
        if classes.is_some()
            && let Some(empty) = (0..this.old.len()).find(|&class| !this.labels.contains(&(class as i32)))
        {
            let what = format!("no sample is of class {}", this.old[empty]);
            return Err(Error::Sample { sample: this.source.name(0), what });
        }
        Ok(this)
    }

    /// At most so many of each class, the first.
    pub fn limited(mut self, limit: usize) -> Self {
        let mut counts: BTreeMap<i32, usize> = BTreeMap::new();
        let labels = self.labels.clone();
        let mut kept = labels.iter().map(|&label| {
            let count = counts.entry(label).or_default();
            *count += 1;
            *count <= limit
        });
        let kept = kept.by_ref().collect::<Vec<_>>();
        self.keep(&|at| kept[at]);
        self
    }

    /// Takes a tenth of each class out, one at least of those with two or more: (the rest, the tenth).
    pub fn held_out(self, seed: u64) -> (Self, Self) {
        let mut out = vec![false; self.samples.len()];
        for class in 0..self.classes.len() {
            let mut of_class =
                (0..self.labels.len()).filter(|&at| self.labels[at] == class as i32).collect::<Vec<_>>();
            Draw::new(seed, Purpose::HoldOut, class as u64, 0).shuffle(&mut of_class);
            let tenth = (of_class.len() + 5) / 10;
            let least = usize::from(of_class.len() > 1);
            of_class[..tenth.max(least)].iter().for_each(|&at| out[at] = true);
        }
        let (mut rest, mut tenth) = (self.clone(), self);
        rest.keep(&|at| !out[at]);
        tenth.keep(&|at| out[at]);
        (rest, tenth)
    }

    /// Gives the classes the numbers that they have in `classes`, by name.
    ///
    /// # Errors
    /// When a class is not among them.
    pub fn numbered_as(mut self, classes: &[String]) -> Result<Self> {
        let mut old = vec![-1; classes.len()];
        let mut new = Vec::new();
        for (name, &label) in self.classes.iter().zip(&self.old) {
            let Some(class) = classes.iter().position(|class| class == name) else {
                let what = format!("the training data have no class `{name}`");
                return Err(Error::Sample { sample: self.source.name(0), what });
            };
            old[class] = label;
            new.push(class as i32);
        }
        self.labels.iter_mut().for_each(|label| *label = new[*label as usize]);
        (self.old, self.classes) = (old, classes.to_vec());
        Ok(self)
    }

    /// Which samples of the source these are.
    pub fn samples(&self) -> &[u32] {
        &self.samples
    }

    /// The class of each sample.
    pub fn labels(&self) -> &[i32] {
        &self.labels
    }

    fn keep(&mut self, is_kept: &dyn Fn(usize) -> bool) {
        let mut at = 0..;
        self.samples.retain(|_| is_kept(at.next().unwrap_or(0)));
        let mut at = 0..;
        self.labels.retain(|_| is_kept(at.next().unwrap_or(0)));
    }
}

impl Source for Selected {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn name(&self, index: usize) -> String {
        self.source.name(self.samples[index] as usize)
    }

    fn read(&self, index: usize) -> std::result::Result<Sample<'_>, String> {
        let sample = self.source.read(self.samples[index] as usize)?;
        Ok(Sample { label: self.labels[index], ..sample })
    }

    fn label(&self, index: usize) -> std::result::Result<i32, String> {
        Ok(self.labels[index])
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }
}
