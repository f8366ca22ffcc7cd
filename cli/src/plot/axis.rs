//! What a direction of a chart means.

/// How many ticks a unit of length is cut by at most, about.
const MOST_TICKS: usize = 6;

/// Values beyond are drawn at the end of the axis, and those nearer to 0 than its inverse are 0: so that no sum, product
/// or quotient of values leaves the numbers.
const FURTHEST: f64 = 1e300;

/// Values from `low` to `high`, with round numbers at both ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Axis {
    low: f64,
    high: f64,
    scale: Scale,
    unit: Unit,
    ticks: usize,
}

/// How values are spread over the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Linear,
    /// Equal factors are equally far apart.
    Logarithmic,
}

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Number,
    /// A part of the whole.
    Percent,
}

/// A value that is written at the axis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    pub(crate) value: f64,
    pub(crate) label: String,
}

impl Axis {
    /// An axis that has all those of `values` that are numbers, if any is. It is logarithmic where the largest is more
    /// than `factor` times the smallest that is positive; what is not positive is then at its lower end.
    pub(crate) fn around(values: impl IntoIterator<Item = f64>, factor: f64) -> Option<Self> {
        let mut range = None;
        let mut least = f64::INFINITY;
        for value in values.into_iter().filter(|value| value.is_finite()) {
            let value = if value.abs() * FURTHEST < 1.0 { 0.0 } else { value.clamp(-FURTHEST, FURTHEST) };
            let (low, high) = range.unwrap_or((value, value));
            range = Some((value.min(low), value.max(high)));
            if value > 0.0 {
                least = least.min(value);
            }
        }
        let (low, high) = range?;
        let axis = Self { low, high, scale: Scale::Linear, unit: Unit::Number, ticks: MOST_TICKS };
        Some(if low >= 0.0 && high / least > factor {
            Self { low: round_below(least), high: round_above(high), scale: Scale::Logarithmic, ..axis }
        } else {
            axis.rounded()
        })
    }

    /// From 0 to `high`, as it is.
    pub(crate) fn to(high: f64) -> Self {
        let high = if high > 0.0 { high.min(FURTHEST) } else { 1.0 };
        Self { low: 0.0, high, scale: Scale::Linear, unit: Unit::Number, ticks: MOST_TICKS }
    }

    /// The same for parts of a whole: nothing is less than 0 % or more than 100 %.
    pub(crate) fn percent(self) -> Self {
        Self { low: self.low.max(0.0), high: self.high.min(1.0), unit: Unit::Percent, ..self }
    }

    /// The same with another number of ticks, about.
    pub(crate) fn with_ticks(self, ticks: usize) -> Self {
        Self { ticks, ..self }
    }

    pub(crate) fn scale(&self) -> Scale {
        self.scale
    }

    /// Where `value` is: 0 at the lower end, 1 at the upper; NaN stays NaN.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let part = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Logarithmic => {
                (value.max(f64::MIN_POSITIVE) / self.low).log10() / (self.high / self.low).log10()
            }
        };
        if value.is_nan() { f64::NAN } else { part.clamp(0.0, 1.0) }
    }

    /// Round values in it.
    pub(crate) fn ticks(&self) -> Vec<Tick> {
        match self.scale {
            Scale::Linear => self.linear_ticks(),
            Scale::Logarithmic => self.logarithmic_ticks(),
        }
    }

    /// A value as it is written where there is room.
    pub(crate) fn write(&self, value: f64) -> String {
        match self.unit {
            Unit::Percent => percent(value),
            Unit::Number => number(value),
        }
    }

    fn linear_ticks(&self) -> Vec<Tick> {
        let step = round_step(self.high - self.low, self.ticks);
        let most = self.low.abs().max(self.high.abs());
        // Steps from 0, and not from the lower end: the sum of many would be no round number any more.
        let first = (self.low / step - 1e-6).ceil();
        let count = (self.high / step + 1e-6).floor() - first;
        (0..=count.max(0.0) as u64)
            .map(|index| (first + index as f64) * step)
            .map(|value| Tick { value, label: self.label(value, step, most) })
            .collect()
    }

    fn label(&self, value: f64, step: f64, most: f64) -> String {
        let (value, step, unit) = match self.unit {
            Unit::Percent => (value * 100.0, step * 100.0, " %"),
            Unit::Number => (value, step, ""),
        };
        let decimals = (-(step * 1.000_001).log10().floor()).max(0.0) as usize;
        if value == 0.0 {
            format!("0{unit}")
        } else if most >= 1e6 || decimals > 4 {
            let digits = (value.abs().log10().floor() - step.log10().floor()).max(0.0) as usize;
            format!("{value:.digits$e}{unit}")
        } else if decimals == 0 && value.abs() >= 1e4 {
            let sign = if value < 0.0 { "-" } else { "" };
            format!("{sign}{}{unit}", crate::table::thousands(value.abs().round() as u64))
        } else {
            format!("{value:.decimals$}{unit}")
        }
    }

    fn logarithmic_ticks(&self) -> Vec<Tick> {
        let (first, last) = (decade(self.low), decade(self.high));
        let fine = (first..=last).flat_map(|power| [1, 2, 5].map(|digit| (digit, power)));
        let decades = (first..=last).map(|power| (1, power));
        let (low, high) = (self.low * (1.0 - 1e-9), self.high * (1.0 + 1e-9));
        let inside = |&(digit, power): &(u8, i32)| (low..=high).contains(&at(digit, power));
        let mut ticks = fine.filter(inside).collect::<Vec<_>>();
        if ticks.len() > self.ticks + 1 {
            ticks = decades.filter(inside).collect();
        }
        let every = ticks.len().div_ceil(self.ticks + 1).max(1);
        let write = |(digit, power): (u8, i32)| match power {
            -3..0 => format!("{:.*}", power.unsigned_abs() as usize, at(digit, power)),
            0..4 => format!("{:.0}", at(digit, power)),
            _ => format!("{digit}e{power}"),
        };
        let tick = |(digit, power)| Tick { value: at(digit, power), label: write((digit, power)) };
        ticks.into_iter().step_by(every).map(tick).collect()
    }

    /// With round numbers at both ends, and 0 where it is near.
    fn rounded(self) -> Self {
        let (mut low, mut high) = (self.low, self.high);
        if high - low <= 1e-9 * high.abs().max(low.abs()) {
            // All the same: a line across the middle.
            (low, high) = match high {
                0.0 => (0.0, 1.0),
                same => ((2.0 * same).min(0.0), (2.0 * same).max(0.0)),
            };
        } else if low > 0.0 && low < 0.4 * high {
            low = 0.0;
        }
        let step = round_step(high - low, self.ticks);
        Self { low: (low / step).floor() * step, high: (high / step).ceil() * step, ..self }
    }
}

/// A number to three or so digits.
pub(crate) fn number(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        "0".to_owned()
    } else if !(1e-3..1e6).contains(&size) {
        let text = format!("{value:.2e}");
        text.replace(".00e", "e").replace("0e", "e")
    } else {
        let decimals = (2.0 - size.log10().floor()).max(0.0) as usize;
        let text = format!("{value:.decimals$}");
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    }
}

/// A part of the whole, in percent.
pub(crate) fn percent(part: f64) -> String {
    if part.is_nan() { "unknown".to_owned() } else { format!("{:.1} %", part * 100.0) }
}

/// 1, 2 or 5 times a power of ten, that cuts `span` into `most` parts or fewer.
fn round_step(span: f64, most: usize) -> f64 {
    let least = span / most as f64;
    let power = 10f64.powf(least.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= least * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

/// The largest of 1, 2, 5 times a power of ten that is not above `value`.
fn round_below(value: f64) -> f64 {
    let power = decade(value);
    let digit = [5, 2, 1].into_iter().find(|&digit| at(digit, power) <= value * (1.0 + 1e-9));
    at(digit.unwrap_or(1), power)
}

/// The smallest of them that is not below `value`.
fn round_above(value: f64) -> f64 {
    let power = decade(value);
    let digit = [1, 2, 5].into_iter().find(|&digit| at(digit, power) >= value * (1.0 - 1e-9));
    digit.map_or_else(|| at(1, power + 1), |digit| at(digit, power))
}

fn decade(value: f64) -> i32 {
    (value * (1.0 + 1e-9)).log10().floor() as i32
}

fn at(digit: u8, power: i32) -> f64 {
    f64::from(digit) * 10f64.powi(power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|tick| tick.label).collect()
    }

    fn around(values: &[f64]) -> Axis {
        Axis::around(values.iter().copied(), 100.0).unwrap()
    }

    #[test]
    fn ends_and_ticks_are_round() {
        let axis = around(&[0.3, f64::NAN, 2.31, f64::INFINITY]);
        assert_eq!((axis.low, axis.high), (0.0, 2.5));
        assert_eq!(
            labels(axis),
            ["0.0", "0.5", "1.0", "1.5", "2.0", "2.5"].map(|l| if l == "0.0" { "0" } else { l })
        );
        assert_eq!([axis.place(0.0), axis.place(1.25), axis.place(9.0)], [0.0, 0.5, 1.0]);
        assert!(axis.place(f64::NAN).is_nan());
        assert_eq!(
            labels(around(&[0.91, 0.984]).percent()),
            ["90 %", "92 %", "94 %", "96 %", "98 %", "100 %"]
        );
        assert_eq!(labels(around(&[-3.0, 4.0])), ["-4", "-2", "0", "2", "4"]);
        assert_eq!(labels(Axis::to(7.3)), ["0", "2", "4", "6"]);
        assert_eq!(labels(Axis::to(12_000.0)), ["0", "2000", "4000", "6000", "8000", "10,000", "12,000"]);
        assert_eq!(labels(Axis::to(0.0)).last().unwrap(), "1.0");
        assert_eq!(labels(around(&[2e-6, 9e-6])), ["0", "2e-6", "4e-6", "6e-6", "8e-6", "1.0e-5"]);
    }

    #[test]
    fn wide_ranges_are_logarithmic() {
        let axis = around(&[0.004, 3.0]);
        assert_eq!(axis.scale(), Scale::Logarithmic);
        assert_eq!(labels(axis), ["0.01", "0.1", "1"]);
        assert_eq!((axis.low, axis.high), (0.002, 5.0));
        assert!((axis.place(0.1) - 0.5).abs() < 1e-12);
        assert_eq!([axis.place(0.0), axis.place(1e9)], [0.0, 1.0]);
        assert_eq!(
            labels(Axis::around([0.0, 1e-5, 1e-3], 10.0).unwrap()),
            ["1e-5", "2e-5", "5e-5", "1e-4", "2e-4", "5e-4", "0.001"]
        );
        assert_eq!(labels(around(&[1e-20, 1e10])).len(), 7);
        assert_eq!(around(&[-1.0, 1e9]).scale(), Scale::Linear);
    }

    #[test]
    fn what_is_all_the_same_is_in_the_middle() {
        for value in [0.01, -3.0, 5e-324, 1e306, 7.0] {
            let axis = around(&[value, value]);
            assert!(axis.low < axis.high && (0.0..=1.0).contains(&axis.place(value)), "{axis:?}");
            assert!((2..=8).contains(&labels(axis).len()), "{axis:?}");
        }
        assert_eq!(around(&[0.01]).place(0.01), 0.5);
        assert_eq!(labels(around(&[0.0])), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(around(&[1.0, 1.0]).percent()).last().unwrap(), "100 %");
        assert!(labels(around(&[-1e308, 1e308])).len() > 2);
        assert_eq!(Axis::around([f64::NAN], 100.0), None);
    }

    #[test]
    fn numbers_are_short() {
        let texts =
            [0.0, 0.1, 1.0, 123.456, -0.012_34, 0.001, 1e-4, 2.5e-5, 1_234_567.0, 54_321.0].map(number);
        let expected = ["0", "0.1", "1", "123", "-0.0123", "0.001", "1e-4", "2.5e-5", "1.23e6", "54321"];
        assert_eq!(texts, expected);
        assert_eq!([percent(0.934), percent(1.0), percent(f64::NAN)], ["93.4 %", "100.0 %", "unknown"]);
    }
}
