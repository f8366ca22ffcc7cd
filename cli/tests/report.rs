//! `rebrew report`: the page of a training run, whole and with parts missing.

mod markup;
mod scratch;
mod synthetic;

use std::fs;

use scratch::Scratch;
use synthetic::Recipe;
use train_core::run::{Filters, Metric, MetricsWriter, RunFolder, Settings, Validation};

/// The page of the run in the folder RUN.
fn page(scratch: &Scratch) -> String {
    scratch.succeeds(&["report", "RUN", "-o", "page.html", "--force"]);
    let page = fs::read_to_string(scratch.path("page.html")).unwrap();
    markup::check(&page, true);
    markup::check_alone(&page);
    page
}

/// Whether all of `texts` are in the page.
fn says(page: &str, texts: &[&str]) {
    for text in texts {
        assert!(page.contains(text), "`{text}` is not in the page");
    }
}

#[test]
fn a_whole_run() {
    let scratch = Scratch::new();
    Recipe::default().write(&scratch.path("RUN"));
    let told = scratch.succeeds(&["report", "RUN", "-o", "first.html"]);
    assert!(told.starts_with("RUN → first.html (") && told.ends_with(" kB)\n"), "{told}");
    let page = page(&scratch);
    assert_eq!(fs::read_to_string(scratch.path("first.html")).unwrap(), page);
    says(
        &page,
        &[
            "<title>RUN: a training run</title>",
            "best validation accuracy, epoch 8</span>",
            "<span>of 8 epochs done</span>",
            "<b>800</b><span>steps</span>",
            "--data &#39;my pictures/train&#39; --replace fc8=10 --freeze &#39;conv*@2ep&#39; -o RUN</code>",
            "<td>fc8: 10 outputs in the place of 1000</td>",
            "<td>conv1, conv2, conv3, conv4, conv5</td>",
            "<td>none: the transform mirrors at random</td>",
            "<caption>Rows: what they are; columns: what they were taken for</caption>",
            "<p>Layer conv1, 32×3×7×7; middle grey is 0.</p>",
            "<p>The largest change is ",
            ">conv5 (frozen at first)</text>",
            ">fc6</text>",
            "<figcaption>mean moved by +",
        ],
    );
    // Filters before, after and their change; at most 48 mistakes.
    let validation = Validation::read(&scratch.path("RUN/validation.json")).unwrap();
    let mistakes = validation.mistakes();
    assert!(mistakes.len() > 48);
    assert_eq!(page.matches("<img ").count(), 48 + 3);
    says(&page, &[&format!("{} images were taken for another class; 48 shown.", mistakes.len())]);
    let first = mistakes[0];
    let [label, predicted] = [first.label, first.predicted].map(|class| validation.class(class));
    let (percent, name) = (first.probability * 100.0, &first.name);
    says(&page, &[&format!("<b>{label}</b>, taken for <b>{predicted}</b> ({percent:.1} %)<br>{name}<")]);
    // Curves, and a chart a layer.
    assert_eq!(page.matches("<svg ").count(), 1 + 8);
    assert!(!page.contains("could not be used"));
}

#[test]
fn the_confusion_matrix_counts() {
    let scratch = Scratch::new();
    Recipe::default().write(&scratch.path("RUN"));
    let page = page(&scratch);
    let validation = Validation::read(&scratch.path("RUN/validation.json")).unwrap();
    let confusion = validation.confusion();
    let table = page.split("<table class=\"confusion\">").nth(1).unwrap().split("</table>").next().unwrap();
    let cells = markup::texts(table, "td");
    assert_eq!(cells.len(), 1 + 10 * 11);
    for label in 0..10 {
        let row = &cells[1 + label * 11..][..11];
        for (predicted, cell) in row[..10].iter().enumerate() {
            assert_eq!(cell.parse(), Ok(confusion.count(label, predicted)));
        }
        let accuracy = confusion.accuracy_of(label).unwrap() * 100.0;
        assert_eq!(row[10], format!("{accuracy:.1} %"));
    }
    assert_eq!(table.matches("class=\"right\"").count(), 10);
}

#[test]
fn many_classes_are_lists_and_a_picture() {
    let scratch = Scratch::new();
    let classes = (0..64).map(|class| format!("class <{class}>")).collect();
    Recipe { classes, ..Recipe::default() }.write(&scratch.path("RUN"));
    let page = page(&scratch);
    assert!(!page.contains("<table class=\"confusion\">"));
    let validation = Validation::read(&scratch.path("RUN/validation.json")).unwrap();
    let (label, predicted, count) = validation.confusion().mistaken()[0];
    says(
        &page,
        &[
            "The pairs of classes that are mistaken most often, 20 of ",
            "The classes that are recognized least, 20 of 64",
            "alt=\"The confusion matrix of 64 classes\"",
            &format!(
                "<tr><td>class &lt;{label}&gt;</td><td>class &lt;{predicted}&gt;</td><td class=\"number\">{count}</td>"
            ),
        ],
    );
}

#[test]
fn names_are_no_markup() {
    let scratch = Scratch::new();
    let evil = "</title><script>alert(\"1\")</script>&amp;\u{1b}\u{fffd}'";
    let safe = "&lt;/title&gt;&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&amp;amp;��&#39;";
    let recipe = Recipe { classes: vec![evil.to_owned(), "b".to_owned()], ..Recipe::default() };
    let run = RunFolder::create(scratch.path("RUN"), false).unwrap();
    recipe.metrics(&run.metrics());
    let settings = Settings {
        command: vec![evil.to_owned()],
        frozen: vec![evil.to_owned()],
        first_convolution: Some(evil.to_owned()),
        ..recipe.settings()
    };
    settings.write(&run.settings()).unwrap();
    let image = train_core::run::Judged {
        name: evil.to_owned(),
        label: 0,
        predicted: 1,
        probability: f64::NAN,
        picture: Some("../run.json".to_owned()),
    };
    let validation = Validation { epoch: f64::NAN, classes: settings.classes.clone(), images: vec![image] };
    validation.write(&run.validation()).unwrap();
    let mut writer = MetricsWriter::resume(&run.metrics(), 800).unwrap();
    for what in ["first", "again"] {
        writer.write(&Metric::Broken { name: evil.to_owned(), what: what.to_owned() }).unwrap();
    }
    let page = page(&scratch);
    says(
        &page,
        &[
            "<code>&#39;&lt;/title&gt;",
            &format!("<td>{safe}</td><td>first</td>"),
            &format!("<th scope=\"row\">{safe}</th>"),
            &format!("<b>{safe}</b>, taken for <b>b</b> (unknown)<br>{safe}</figcaption>"),
            "no picture: ../run.json is not in `mistakes`",
            "<td>after step 800</td>",
            "<caption>1 of 1</caption>",
        ],
    );
}

#[test]
fn what_is_missing_is_said_in_a_line() {
    let scratch = Scratch::new();
    let run = RunFolder::create(scratch.path("RUN"), false).unwrap();
    drop(MetricsWriter::create(&run.metrics()).unwrap());
    let empty = page(&scratch);
    let missing = [
        "<p>No step was done yet.</p>",
        "There is no run.json.",
        "There is no step and no validation yet.",
        "There is no validation.json with images.",
        "There is no filters.npz.",
        "The metrics have no outputs of layers.",
    ];
    says(&empty, &missing);
    let recipe = Recipe::default();
    recipe.write(&scratch.path("whole"));
    fs::copy(scratch.path("whole/metrics.jsonl"), run.metrics()).unwrap();
    fs::copy(scratch.path("whole/validation.json"), run.validation()).unwrap();
    // Pictures that are gone, or are none.
    scratch.write("RUN/mistakes/001.png", b"GIF89a");
    let filters = Filters::read(&scratch.path("whole/filters.npz")).unwrap();
    Filters { after: filters.before.clone(), ..filters }.write(&run.filters()).unwrap();
    let half = page(&scratch);
    says(
        &half,
        &[
            "There is no run.json.",
            "no picture: No such file or directory",
            "no picture: mistakes/001.png is no PNG",
            "<p>No weight has changed: its bits are those it began with.</p>",
        ],
    );
    assert_eq!(half.matches("<img ").count(), 2);
}

#[test]
fn what_is_no_run_says_why() {
    let scratch = Scratch::new();
    Recipe::default().write(&scratch.path("RUN"));
    scratch.write("there.html", b"mine");
    let fails = |run: &str, output: &str, expected: &str| {
        scratch.fails(&["report", run, "-o", output], &format!("rebrew: {expected}\n"));
    };
    fails("none", "a.html", "none is no folder of a training run: there is none");
    fails("there.html", "a.html", "there.html is no folder of a training run: it is a file");
    fails("RUN", "a.pdf", "an HTML page is written: end a.pdf in .html");
    fails("RUN", "there.html", "there.html exists already (--force replaces it)");
    scratch.write("RUN/validation.json", br#"{ "epoch": 1, "classes": ["a"], "images": [{ "name": "x", "label": 0, "predicted": 7, "probability": 1 }] }"#);
    let expected =
        "RUN/validation.json: image `x` is of class 0, predicted 7; counted from 0 there are 1 classes";
    fails("RUN", "a.html", expected);
    scratch.write("RUN/run.json", b"{ \"seed\": ");
    fails("RUN", "a.html", "RUN/run.json: EOF while parsing a value at line 1 column 10");
    let metrics = fs::read_to_string(scratch.path("RUN/metrics.jsonl")).unwrap();
    scratch.write("RUN/metrics.jsonl", format!("{metrics}nothing\n").as_bytes());
    let line = metrics.lines().count() + 1;
    fails("RUN", "a.html", &format!("RUN/metrics.jsonl, line {line}: expected ident at column 2"));
    assert_eq!(fs::read(scratch.path("there.html")).unwrap(), b"mine");
}
