//! Layers that are not trained.

use super::near::near;
use super::{Error, Hook, Moment, Pattern, Trainable, Until, schedule};
use crate::optim::ParamInfo;

/// Freezes layers, for good or for a while: no gradient, no update, no decay, no state, and not in any norm.
///
/// ```
/// use train_core::hooks::{Freeze, Until};
///
/// Freeze::layers(["conv*", "inception_[34]?/**"]); // whole names only: `conv1` is not `conv10`
/// Freeze::layers(["conv5"]).until(Until::Epoch(2)); // thawed then, its state clean
/// Freeze::schedule("conv5@2ep, conv4@4ep, conv[1-3]")?;
/// # Ok::<(), train_core::hooks::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freeze {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    text: String,
    selector: Selector,
    until: Option<Until>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Selector {
    Glob(Pattern),
    Containing,
    /// Refused when the hook is added.
    Bad(Error),
}

impl Freeze {
    /// Freezes what [`Pattern`]s match: names of layers, or of single parameters (`conv1/W`).
    pub fn layers<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>) -> Self {
        let parts = patterns.into_iter().map(|pattern| Part::glob(pattern.as_ref(), None));
        Self { parts: parts.collect() }
    }

    /// Freezes parameters whose path, such as `/conv1/W`, contains a text: what Chainer hooks that were copied about do.
    /// `conv1` freezes `conv10` as well.
    pub fn containing<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Self {
        let part =
            |text: S| Part { text: text.as_ref().to_owned(), selector: Selector::Containing, until: None };
        Self { parts: texts.into_iter().map(part).collect() }
    }

    /// Freezes by a list such as `conv5@2ep, conv4@500it, conv3`: patterns with the epoch or iteration at which what they
    /// match is thawed, or none.
    ///
    /// # Errors
    /// [`Error::Schedule`] for a part that cannot be read, [`Error::Pattern`] for its pattern.
    pub fn schedule(text: &str) -> Result<Self, Error> {
        let mut parts = Vec::new();
        for (pattern, until) in schedule::parse(text)? {
            Pattern::new(pattern)?;
            parts.push(Part::glob(pattern, until));
        }
        Ok(Self { parts })
    }

    /// The same, but for a while.
    pub fn until(mut self, until: Until) -> Self {
        self.parts.iter_mut().for_each(|part| part.until = Some(until));
        self
    }
}

impl Hook for Freeze {
    fn name(&self) -> &'static str {
        "Freeze"
    }

    fn check(&self, params: &[ParamInfo]) -> Result<(), Error> {
        for part in &self.parts {
            if let Selector::Bad(error) = &part.selector {
                return Err(error.clone());
            }
            if !params.iter().any(|param| part.matches(param)) {
                let mut names: Vec<&str> = params.iter().map(|param| param.layer.as_str()).collect();
                names.dedup();
                return Err(Error::NoMatch { pattern: part.text.clone(), near: near(&part.text, &names) });
            }
        }
        Ok(())
    }

    fn plan(&self, moment: Moment, trainable: &mut Trainable<'_>) {
        let now = |part: &&Part| part.until.is_none_or(|until| !until.is_over(moment));
        for part in self.parts.iter().filter(now) {
            for (index, param) in trainable.params().iter().enumerate() {
                if part.matches(param) {
                    trainable.freeze(index);
                }
            }
        }
    }

    fn changes_after(&self, moment: Moment) -> bool {
        self.parts.iter().any(|part| part.until.is_some_and(|until| !until.is_over(moment)))
    }
}

impl Part {
    fn glob(text: &str, until: Option<Until>) -> Self {
        let selector = Pattern::new(text).map_or_else(Selector::Bad, Selector::Glob);
        Self { text: text.to_owned(), selector, until }
    }

    fn matches(&self, param: &ParamInfo) -> bool {
        match &self.selector {
            Selector::Glob(pattern) => pattern.matches(&param.layer) || pattern.matches(&param.name),
            Selector::Containing => format!("/{}", param.name).contains(&self.text),
            Selector::Bad(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(layers: &[&str]) -> Vec<ParamInfo> {
        layers.iter().flat_map(|layer| ["W", "b"].map(|leaf| ParamInfo::new(*layer, leaf, [1]))).collect()
    }

    fn frozen(freeze: &Freeze, layers: &[&str], moment: Moment) -> Vec<String> {
        let params = params(layers);
        freeze.check(&params).unwrap();
        let mut trainable = Trainable::new(&params);
        freeze.plan(moment, &mut trainable);
        let names = params.iter().zip(trainable.into_frozen()).filter(|(_, frozen)| *frozen);
        names.map(|(param, _)| param.name.clone()).collect()
    }

    #[test]
    fn layers_and_parameters() {
        let layers = ["conv1", "conv10", "inception_3a/1x1", "fc8"];
        let start = Moment::default();
        assert_eq!(frozen(&Freeze::layers(["conv1"]), &layers, start), ["conv1/W", "conv1/b"]);
        assert_eq!(frozen(&Freeze::layers(["conv1/W"]), &layers, start), ["conv1/W"]);
        assert_eq!(frozen(&Freeze::layers(["*/b", "**/1x1"]), &layers, start).len(), 5);
        assert_eq!(frozen(&Freeze::containing(["conv1"]), &layers, start).len(), 4);
        assert_eq!(frozen(&Freeze::containing(["/conv1/"]), &layers, start), ["conv1/W", "conv1/b"]);
    }

    #[test]
    fn thawed_in_time() {
        let freeze = Freeze::schedule("conv5@2ep, conv4@300it, conv3").unwrap();
        let layers = ["conv3", "conv4", "conv5", "fc6"];
        let at = |epoch, iteration| {
            let frozen = frozen(&freeze, &layers, Moment { epoch, iteration });
            frozen.into_iter().filter(|name| name.ends_with('W')).collect::<Vec<_>>()
        };
        assert_eq!(at(0, 0), ["conv3/W", "conv4/W", "conv5/W"]);
        assert_eq!(at(1, 300), ["conv3/W", "conv5/W"]);
        assert_eq!(at(2, 299), ["conv3/W", "conv4/W"]);
        assert_eq!(at(9, 999), ["conv3/W"]);
        assert!(freeze.changes_after(Moment { epoch: 1, iteration: 400 }));
        assert!(!freeze.changes_after(Moment { epoch: 2, iteration: 400 }));
        let all = Freeze::layers(["conv*"]).until(Until::Iteration(5));
        assert_eq!(frozen(&all, &layers, Moment { epoch: 0, iteration: 5 }), [""; 0]);
    }

    #[test]
    fn no_match_is_an_error_with_names() {
        let params = params(&["conv1", "conv2", "inception_3a/1x1", "fc8"]);
        let message = |freeze: &Freeze| freeze.check(&params).unwrap_err().to_string();
        assert_eq!(
            message(&Freeze::layers(["conv2", "conv3"])),
            "`conv3` matches no layer with parameters; did you mean `conv1`, `conv2`?"
        );
        assert_eq!(
            message(&Freeze::layers(["inception_3?"])),
            "`inception_3?` matches no layer with parameters; did you mean `inception_3?/**`?"
        );
        assert_eq!(
            message(&Freeze::layers(["1x1"])),
            "`1x1` matches no layer with parameters; did you mean `**/1x1`?"
        );
        assert_eq!(
            message(&Freeze::containing(["pool"])),
            "`pool` matches no layer with parameters; there are `conv1`, `conv2`, `inception_3a/1x1`, `fc8`"
        );
        assert!(message(&Freeze::layers(["conv[1"])).contains("has no `]`"));
    }
}
