//! `rebrew plot curves`: the charts it draws, and what it says when there is nothing to draw.

mod markup;
mod scratch;
mod synthetic;

use std::fs;

use scratch::Scratch;
use synthetic::Recipe;
use train_core::run::{Metric, MetricsWriter, RunFolder};

fn step(iteration: u64, loss: f64) -> Metric {
    Metric::Step {
        iteration,
        epoch: f64::NAN,
        loss,
        accuracy: f64::NAN,
        rate: f64::NAN,
        images_per_second: f64::NAN,
    }
}

#[test]
fn a_run_has_curves_thaws_and_its_best() {
    let scratch = Scratch::new();
    Recipe::default().write(&scratch.path("frozen"));
    let told = scratch.succeeds(&["plot", "curves", "frozen", "-o", "a.svg"]);
    assert_eq!(told, "frozen → a.svg (800 iterations)\n");
    let svg = fs::read_to_string(scratch.path("a.svg")).unwrap();
    let elements = markup::check(&svg, false);
    markup::check_alone(&svg);
    let count = |name: &str| elements.iter().filter(|element| *element == name).count();
    // Loss and accuracy: training faint and smoothed, and validation; the rate; the key's.
    assert_eq!(count("path"), 2 * 3 + 1 + 1);
    // Validation's eight points twice, the best's ring, the key's.
    assert_eq!(count("circle"), 2 * 8 + 1 + 1);
    let texts = markup::texts(&svg, "text");
    for expected in [
        "loss",
        "accuracy",
        "learning rate (logarithmic)",
        "conv5 thawed",
        "conv1 thawed",
        "epoch",
        "100 %",
        "1e-4",
    ] {
        assert!(texts.contains(&expected), "{expected}: {texts:?}");
    }
    assert!(
        texts.iter().any(|text| text.starts_with("frozen: best ") && text.ends_with(" %, epoch 8")),
        "{texts:?}"
    );
    // Five thaws through three panels.
    assert_eq!(svg.matches("class=\"mark neutral\"").count(), 5 * 3);
    assert!(scratch.succeeds(&["plot", "curves", "frozen", "-o", "b.svg", "-q"]).is_empty());
    assert_eq!(fs::read_to_string(scratch.path("b.svg")).unwrap(), svg);
}

#[test]
fn several_runs_share_the_axes_and_keep_their_names() {
    let scratch = Scratch::new();
    Recipe::default().write(&scratch.path("frozen <&>"));
    Recipe { seed: 2, frozen: 0, epochs: 4, ..Recipe::default() }.write(&scratch.path("other/frozen <&>"));
    Recipe { seed: 3, ..Recipe::default() }.metrics(&scratch.path("alone.jsonl"));
    let told = scratch.succeeds(&["plot", "curves", "frozen <&>/", "alone.jsonl", "-o", "a.svg"]);
    assert_eq!(told, "frozen <&>, alone → a.svg (800 iterations)\n");
    let svg = fs::read_to_string(scratch.path("a.svg")).unwrap();
    markup::check(&svg, false);
    markup::check_alone(&svg);
    assert!(svg.contains(">frozen &lt;&amp;&gt;: best ") && svg.contains(">alone: best "));
    assert!(svg.contains("class=\"line strong c0\"") && svg.contains("class=\"line strong c1\""));
    assert!(svg.contains("class=\"mark c1\""));
    // Of one name, the paths tell them apart.
    let told = scratch.succeeds(&["plot", "curves", "frozen <&>", "other/frozen <&>", "-o", "b.svg"]);
    assert_eq!(told, "frozen <&>, other/frozen <&> → b.svg (800 iterations)\n");
}

#[test]
fn a_wide_loss_is_logarithmic() {
    let scratch = Scratch::new();
    Recipe { loss: 300.0, pace: 4.0, ..Recipe::default() }.metrics(&scratch.path("a.jsonl"));
    scratch.succeeds(&["plot", "curves", "a.jsonl", "--over", "iterations", "-o", "a.svg"]);
    let svg = fs::read_to_string(scratch.path("a.svg")).unwrap();
    let texts = markup::texts(&svg, "text");
    for expected in ["loss (logarithmic)", "0.1", "100", "iteration", "600"] {
        assert!(texts.contains(&expected), "{expected}: {texts:?}");
    }
}

#[test]
fn what_is_unknown_is_left_out() {
    let scratch = Scratch::new();
    let mut writer = MetricsWriter::create(&scratch.path("a.jsonl")).unwrap();
    for (iteration, loss) in [(1, 4.0), (2, f64::NAN), (3, f64::INFINITY), (4, 2.0)] {
        writer.write(&step(iteration, loss)).unwrap();
    }
    // As a killed run leaves it.
    let text = fs::read_to_string(scratch.path("a.jsonl")).unwrap();
    scratch.write("a.jsonl", format!("{text}{{\"kind\":\"st").as_bytes());
    scratch.succeeds(&["plot", "curves", "a.jsonl", "-o", "a.svg"]);
    let svg = fs::read_to_string(scratch.path("a.svg")).unwrap();
    let elements = markup::check(&svg, false);
    // The loss, in two parts; the key's. No accuracy, no rate.
    assert_eq!(elements.iter().filter(|element| *element == "path").count(), 2);
    assert!(!svg.contains("NaN") && !svg.contains("inf") && !svg.contains(">accuracy<"));
    assert!(markup::texts(&svg, "text").contains(&"iteration"));
    let expected = "rebrew: a.jsonl: no epochs are told: draw it --over iterations\n";
    scratch.fails(&["plot", "curves", "a.jsonl", "--over", "epochs", "-o", "b.svg"], expected);
}

#[test]
fn what_cannot_be_drawn_says_why() {
    let scratch = Scratch::new();
    Recipe::default().write(&scratch.path("run"));
    scratch.write("there.svg", b"mine");
    scratch.write("broken.jsonl", b"{\"kind\":\"resumed\",\"iteration\":4}\n{\"kind\":\"step\"}\n");
    scratch.write("empty.jsonl", b"{\"kind\":\"resumed\",\"iteration\":4}\n");
    fs::create_dir(scratch.path("folder")).unwrap();
    RunFolder::create(scratch.path("new"), false).unwrap();
    for (run, output, expected) in [
        ("none", "a.svg", "none is no folder of a training run: there is none"),
        ("folder", "a.svg", "folder is no folder of a training run: it has no `metrics.jsonl`"),
        ("new", "a.svg", "new is no folder of a training run: it has no `metrics.jsonl`"),
        ("broken.jsonl", "a.svg", "broken.jsonl, line 2: missing field `iteration`"),
        ("empty.jsonl", "a.svg", "empty.jsonl: there is no step and no validation to draw yet"),
        ("run", "a.png", "an SVG is written: end a.png in .svg"),
        ("run", "there.svg", "there.svg exists already (--force replaces it)"),
        ("run", "none/a.svg", "cannot write none/a.svg: No such file or directory (os error 2)"),
    ] {
        scratch.fails(&["plot", "curves", run, "-o", output], &format!("rebrew: {expected}\n"));
    }
    assert_eq!(fs::read(scratch.path("there.svg")).unwrap(), b"mine");
    scratch.succeeds(&["plot", "curves", "run", "-o", "there.svg", "--force"]);
    markup::check(&fs::read_to_string(scratch.path("there.svg")).unwrap(), false);
}

#[test]
fn the_checker_finds_what_is_not_well_formed() {
    markup::check("<a b=\"&lt;\"><c/>d</a>", false);
    for wrong in
        ["<a>", "<a></b>", "<a>&</a>", "<a b=c></a>", "<a b=\"1\" b=\"2\"></a>", "a", "<a>\u{1b}</a>"]
    {
        assert!(std::panic::catch_unwind(|| markup::check(wrong, false)).is_err(), "{wrong}");
    }
    for outside in ["<img src=\"a.png\">", "url(a)", "<a href=\"b\">", "https://example.org"] {
        assert!(std::panic::catch_unwind(|| markup::check_alone(outside)).is_err(), "{outside}");
    }
}
