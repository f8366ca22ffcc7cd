//! A program that stays loaded and runs passes when told to, by the lines that xtask/src/bench/worker/mod.rs describes.

use std::error::Error;
use std::fs;
use std::io::{self, BufRead as _, Write as _};
use std::time::Instant;

/// What goes wrong in a worker is told to whoever asked.
pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A net that is loaded, and what it works on.
pub trait Case {
    /// One pass.
    ///
    /// # Errors
    /// The pass's.
    fn run(&mut self) -> Result<()>;
}

/// Answers requests until the input ends. `load` gets the words of a case, and returns it with what it computed first.
///
/// # Errors
/// Those of reading and writing; those of cases are answers.
pub fn serve<C: Case>(mut load: impl FnMut(&[&str]) -> Result<(C, Vec<f32>)>) -> Result<()> {
    let mut loaded = None;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words = line.split('\t').collect::<Vec<_>>();
        let answer = match answer(&mut load, &mut loaded, &words) {
            Ok(answer) => answer,
            Err(error) => format!("error {}", error.to_string().replace('\n', " ")),
        };
        println!("{answer}");
        io::stdout().flush()?;
    }
    Ok(())
}

/// The bare floats of a file.
///
/// # Errors
/// Those of reading.
pub fn read_floats(path: &str) -> Result<Vec<f32>> {
    let bytes = fs::read(path)?;
    bytes.chunks(4).map(|bytes| Ok(f32::from_ne_bytes(bytes.try_into()?))).collect()
}

/// Reads `32,3,227,227`.
///
/// # Errors
/// What is no number.
pub fn read_shape(text: &str) -> Result<Vec<usize>> {
    Ok(text.split(',').map(str::parse).collect::<std::result::Result<_, _>>()?)
}

fn answer<C: Case>(
    load: &mut impl FnMut(&[&str]) -> Result<(C, Vec<f32>)>,
    loaded: &mut Option<C>,
    words: &[&str],
) -> Result<String> {
    match *words {
        ["load", ref case @ .., output] => {
            *loaded = None;
            let (case, result) = load(case)?;
            *loaded = Some(case);
            fs::write(output, result.iter().flat_map(|value| value.to_ne_bytes()).collect::<Vec<_>>())?;
            Ok("ok".to_owned())
        }
        ["run", warm_up, seconds] => {
            let case = loaded.as_mut().ok_or("nothing is loaded")?;
            let warm_up = warm_up.parse()?;
            if warm_up > 0.0 {
                passes(case, warm_up)?;
            }
            Ok(passes(case, seconds.parse()?)?.to_string())
        }
        _ => Err("no such request".into()),
    }
}

/// The mean time of as many passes as take so many seconds.
fn passes(case: &mut impl Case, seconds: f64) -> Result<f64> {
    let (start, mut passes) = (Instant::now(), 0);
    loop {
        case.run()?;
        passes += 1;
        let spent = start.elapsed().as_secs_f64();
        if spent >= seconds {
            return Ok(spent / f64::from(passes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counter(usize);

    impl Case for Counter {
        fn run(&mut self) -> Result<()> {
            self.0 += 1;
            if self.0 > 2 { Err("enough".into()) } else { Ok(()) }
        }
    }

    #[test]
    fn cases_are_loaded_and_run() {
        let output = tempfile::NamedTempFile::new().unwrap();
        let path = output.path().to_str().unwrap();
        let mut loaded = None;
        let mut ask = |words: &[&str]| {
            let mut load = |words: &[&str]| Ok((Counter(0), vec![words.len() as f32, 0.5]));
            answer(&mut load, &mut loaded, words).map_err(|error| error.to_string())
        };
        assert_eq!(ask(&["run", "0", "0"]), Err("nothing is loaded".to_owned()));
        assert_eq!(ask(&["load", "a", "b", path]), Ok("ok".to_owned()));
        assert_eq!(read_floats(path).unwrap(), [2.0, 0.5]);
        assert!(ask(&["run", "0", "0"]).unwrap().parse::<f64>().unwrap() >= 0.0);
        assert_eq!(ask(&["run", "1e-9", "0"]), Err("enough".to_owned()));
        assert_eq!(ask(&["walk"]), Err("no such request".to_owned()));
    }

    #[test]
    fn shapes_are_read() {
        assert_eq!(read_shape("32,10").unwrap(), [32, 10]);
        assert!(read_shape("32,x").is_err());
    }
}
