//! What a GPU's benchmarks came to, as Markdown and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// One thing measured, beside PyTorch where that was there.
pub struct Row {
    /// What.
    pub name: String,
    /// `f32` or `TF32`.
    pub arithmetic: &'static str,
    /// Ours.
    pub seconds: f64,
    /// Operations of the plain algorithm; none for what is not one operation.
    pub flops: Option<f64>,
    /// The part of the roofline that is reached.
    pub share: Option<f64>,
    /// Seconds of cuBLAS, called as ours.
    pub cublas: Option<f64>,
    /// Seconds of PyTorch, whose products are cuBLAS's and whose convolutions are cuDNN's.
    pub peer: Option<f64>,
    /// How many times as fast as the faster of these ours is to be.
    pub bar: Option<f64>,
}

/// A report.
#[derive(Default)]
pub struct Report {
    /// Whether all was so small that no time means anything.
    pub smoke: bool,
    /// What was used: names and what they are.
    pub used: Vec<(String, String)>,
    /// What was checked before, and how it went.
    pub outcomes: Vec<(String, String)>,
    /// The worst error of each operation on the device.
    pub errors: Vec<(String, f64)>,
    /// What was measured.
    pub rows: Vec<Row>,
}

impl Row {
    /// How many times as fast as the faster of the others ours is.
    fn ratio(&self) -> Option<f64> {
        let others = [self.cublas, self.peer].into_iter().flatten();
        others.reduce(f64::min).map(|fastest| fastest / self.seconds)
    }

    fn is_met(&self) -> Option<bool> {
        Some(self.ratio()? >= self.bar?)
    }
}

impl Report {
    /// For people.
    pub fn markdown(&self) -> String {
        let mut text = String::from("# Rebrew on a GPU\n\n");
        if self.smoke {
            text += "**A smoke test: tiny shapes, to see that everything works. No time in it means anything.**\n\n";
        }
        text += "| used | |\n| --- | --- |\n";
        for (name, value) in &self.used {
            line(&mut text, &[name, value]);
        }
        if !self.outcomes.is_empty() {
            text += "\n| checked | outcome |\n| --- | --- |\n";
            for (name, value) in &self.outcomes {
                line(&mut text, &[name, value]);
            }
        }
        text += "\nTimes are medians; ratios say how many times as fast as the faster of cuBLAS and PyTorch (cuBLAS, cuDNN) ours\n\
                 is, and how many times it is to be.\n\n\
                 | what | arithmetic | ours | GFLOP/s | of the roofline | cuBLAS | PyTorch | ratio | at least | |\n\
                 | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |\n";
        for row in &self.rows {
            let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
            let met = row.is_met().map(|met| if met { "met" } else { "NOT met" });
            line(
                &mut text,
                &[
                    &row.name,
                    row.arithmetic,
                    &time(row.seconds),
                    &or_dash(row.flops.map(|flops| format!("{:.1}", flops / row.seconds / 1e9))),
                    &or_dash(row.share.map(|share| format!("{:.0} %", 100.0 * share))),
                    &or_dash(row.cublas.map(time)),
                    &or_dash(row.peer.map(time)),
                    &or_dash(row.ratio().map(|ratio| format!("{ratio:.2}"))),
                    &or_dash(row.bar.map(|bar| format!("{bar:.1}"))),
                    met.unwrap_or_default(),
                ],
            );
        }
        if !self.errors.is_empty() {
            text += "\n| operation | worst error against f64 |\n| --- | ---: |\n";
            for (operation, error) in &self.errors {
                line(&mut text, &[&format!("`{operation}`"), &format!("{error:.1e}")]);
            }
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let pairs = |pairs: &[(String, String)]| {
            pairs.iter().map(|(name, value)| (name.clone(), json!(value))).collect::<serde_json::Map<_, _>>()
        };
        let rows = self.rows.iter().map(|row| {
            json!({
                "name": row.name,
                "arithmetic": row.arithmetic,
                "seconds": row.seconds,
                "gflops": row.flops.map(|flops| flops / row.seconds / 1e9),
                "share_of_roofline": row.share,
                "cublas_seconds": row.cublas,
                "pytorch_seconds": row.peer,
                "ratio": row.ratio(),
                "at_least": row.bar,
                "met": row.is_met(),
            })
        });
        let errors = self.errors.iter().map(|(operation, error)| (operation.clone(), json!(error)));
        json!({
            "smoke": self.smoke,
            "used": pairs(&self.used),
            "checked": pairs(&self.outcomes),
            "errors": errors.collect::<serde_json::Map<_, _>>(),
            "measured": rows.collect::<Vec<_>>(),
        })
    }
}

fn line(text: &mut String, cells: &[&str]) {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    writeln!(text, "| {} |", cells.join(" | ")).unwrap_or_else(|_| unreachable!("a string takes all"));
}

fn time(seconds: f64) -> String {
    if seconds < 1e-3 { format!("{:.1} µs", 1e6 * seconds) } else { format!("{:.3} ms", 1e3 * seconds) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_met_or_not_or_there_is_nothing_to_compare() {
        let row = |peer, bar| Row {
            name: "gemm".to_owned(),
            arithmetic: "f32",
            seconds: 2e-3,
            flops: Some(2e9),
            share: Some(0.5),
            cublas: None,
            peer,
            bar,
        };
        let rows = vec![row(Some(1.9e-3), Some(0.9)), row(Some(1e-3), Some(0.9)), row(None, Some(0.9))];
        let report = Report { rows, ..Report::default() };
        let text = report.markdown();
        for line in [
            "| gemm | f32 | 2.000 ms | 1000.0 | 50 % | – | 1.900 ms | 0.95 | 0.9 | met |\n",
            "| gemm | f32 | 2.000 ms | 1000.0 | 50 % | – | 1.000 ms | 0.50 | 0.9 | NOT met |\n",
            "| gemm | f32 | 2.000 ms | 1000.0 | 50 % | – | – | – | 0.9 |  |\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
        let json = report.json();
        let met: Vec<&Value> = json["measured"].as_array().unwrap().iter().map(|row| &row["met"]).collect();
        let faster = Row { cublas: Some(1.2e-3), ..row(Some(1.9e-3), Some(0.9)) };
        assert_eq!(faster.is_met(), Some(false));
        assert_eq!(met, [&json!(true), &json!(false), &Value::Null]);
    }
}
