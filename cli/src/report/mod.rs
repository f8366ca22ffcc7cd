//! `rebrew report`: all that a training run left, as one page.

mod base64;
mod broken;
mod confusion;
mod curves;
mod filters;
mod headline;
mod mistakes;
mod outputs;
mod settings;
mod words;

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use train_core::run::{Filters, RunFolder, Settings, Validation};
use weight_io::{WriteOptions, write_file};

use crate::Answer;
use crate::failure::Failure;
use crate::markup::Escaped;
use crate::plot::chart;
use crate::plot::history::History;

/// Show a training run as one HTML page
///
/// The page needs no network and no scripts: curves, the confusion matrix, the mistakes that the net is surest of, the first
/// layer's filters before and after, the mean output of each layer over time, and the command.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The folder of a run, as `finetune` writes it
    run: PathBuf,
    /// The page to write, an .html
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace an existing output
    #[arg(long)]
    force: bool,
}

/// What a run left. What it has not left, or not yet, is none.
struct Run {
    folder: RunFolder,
    history: History,
    settings: Option<Settings>,
    validation: Option<Validation>,
    filters: Option<Filters>,
}

/// The page.
struct Page<'a>(&'a Run);

/// A part of the page: a heading, and what is under it.
struct Section<'a, T>(&'a str, T);

pub(crate) fn run(arguments: &Arguments, quiet: bool) -> Result<Answer, Failure> {
    let output = arguments.output.display();
    let is_html =
        |ending: &std::ffi::OsStr| ending.eq_ignore_ascii_case("html") || ending.eq_ignore_ascii_case("htm");
    if !arguments.output.extension().is_some_and(is_html) {
        return Err(Failure::Message(format!("an HTML page is written: end {output} in .html")));
    }
    let run = Run::read(&arguments.run)?;
    let page = Page(&run).to_string();
    write_file(&arguments.output, page.as_bytes(), WriteOptions { force: arguments.force, sync: false })?;
    if !quiet {
        let (name, size) =
            (crate::table::printable(&run.history.name), crate::table::bytes(page.len() as u64));
        writeln!(io::stdout().lock(), "{name} → {output} ({size})")?;
    }
    Ok(Answer::Yes)
}

impl Run {
    fn read(path: &Path) -> Result<Self, Failure> {
        let folder = RunFolder::open(path)?;
        let [settings, validation, filters] = [folder.settings(), folder.validation(), folder.filters()]
            .map(|file| file.exists().then_some(file));
        Ok(Self {
            history: History::read(path)?,
            settings: settings.map(|file| Settings::read(&file)).transpose()?,
            validation: validation.map(|file| Validation::read(&file)).transpose()?,
            filters: filters.map(|file| Filters::read(&file)).transpose()?,
            folder,
        })
    }
}

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run = self.0;
        let name = Escaped(&run.history.name);
        writeln!(
            f,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
             content=\"width=device-width, initial-scale=1\">\n<title>{name}: a training run</title>\n<style>\n{}{}\
             </style>\n</head>\n<body>",
            chart::STYLE,
            include_str!("style.css"),
        )?;
        write!(f, "{}", headline::Headline(run))?;
        write!(f, "{}", Section("Command and settings", settings::Table(run)))?;
        write!(f, "{}", Section("Curves", curves::Curves(run)))?;
        write!(f, "{}", Section("What was taken for what", confusion::Matrix(run)))?;
        write!(f, "{}", Section("Mistakes it is surest of", mistakes::Pictures(run)))?;
        write!(f, "{}", Section("Filters of the first convolution", filters::Sheets(run)))?;
        write!(f, "{}", Section("Mean output of each layer", outputs::Multiples(run)))?;
        if !run.history.broken.is_empty() {
            write!(f, "{}", Section("Images that could not be used", broken::List(run)))?;
        }
        f.write_str("</body>\n</html>\n")
    }
}

impl<T: fmt::Display> fmt::Display for Section<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(heading, content) = self;
        write!(f, "<section>\n<h2>{}</h2>\n{content}</section>\n", Escaped(heading))
    }
}
