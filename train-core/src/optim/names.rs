//! Rules by Chainer's names.

use super::{
    AdaDelta, AdaGrad, Adam, CorrectedMomentumSgd, Error, MomentumSgd, Msvag, NesterovAg, NesterovForm,
    RmsProp, RmsPropGraves, Rule, Sgd, Smorms3,
};

/// What [`rule_by_name`] knows.
pub const NAMES: [&str; 15] = [
    "SGD",
    "MomentumSGD",
    "CorrectedMomentumSGD",
    "NesterovAG",
    "AdaGrad",
    "AdaDelta",
    "RMSprop",
    "RMSpropGraves",
    "SMORMS3",
    "Adam",
    "AdamW",
    "AMSGrad",
    "AdaBound",
    "AMSBound",
    "MSVAG",
];

/// The rule of Chainer's name for it, whatever the case of its letters, with Chainer's defaults; `rate`, when given, is its
/// learning rate.
///
/// AdamW decays by .01 of the rate in each step here, as elsewhere, where Chainer's does not decay unless told to.
/// NesterovAG is Chainer's.
///
/// # Errors
/// [`Error::Optimizer`], naming all there are.
pub fn rule_by_name(name: &str, rate: Option<f64>) -> Result<Box<dyn Rule>, Error> {
    macro_rules! boxed {
        ($rule:expr) => {{
            let mut rule = $rule;
            rule.rate = rate.unwrap_or(rule.rate);
            Box::new(rule)
        }};
    }
    Ok(match name.to_ascii_lowercase().as_str() {
        "sgd" => boxed!(Sgd::default()),
        "momentumsgd" => boxed!(MomentumSgd::default()),
        "correctedmomentumsgd" => boxed!(CorrectedMomentumSgd::default()),
        "nesterovag" => boxed!(NesterovAg { form: NesterovForm::Chainer, ..NesterovAg::default() }),
        "adagrad" => boxed!(AdaGrad::default()),
        "adadelta" => boxed!(AdaDelta::default()),
        "rmsprop" => boxed!(RmsProp::default()),
        "rmspropgraves" => boxed!(RmsPropGraves::default()),
        "smorms3" => boxed!(Smorms3::default()),
        "adam" => boxed!(Adam::default()),
        "adamw" => {
            let rate = rate.unwrap_or(Adam::default().rate);
            Box::new(Adam { rate, ..Adam::adam_w(0.01 * rate) })
        }
        "amsgrad" => boxed!(Adam::ams_grad()),
        "adabound" => boxed!(Adam::ada_bound()),
        "amsbound" => boxed!(Adam::ams_bound()),
        "msvag" => boxed!(Msvag::default()),
        _ => return Err(Error::Optimizer { found: name.to_owned() }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_known() {
        for name in NAMES {
            let rule = rule_by_name(&name.to_uppercase(), Some(0.25)).unwrap();
            assert_eq!((rule.name(), rule.rate()), (name, 0.25));
        }
        let error = rule_by_name("Adm", None).unwrap_err().to_string();
        assert!(error.contains("`Adm`") && error.contains("SMORMS3"), "{error}");
    }
}
