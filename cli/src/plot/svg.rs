//! SVG, written by hand.

use std::fmt;

use crate::markup::Escaped;

/// A picture that is being drawn. Places are in pixels from the upper left corner; how things look is up to the style
/// sheet, by their classes.
#[derive(Default)]
pub(crate) struct Svg {
    body: String,
}

/// How a text stands to its place.
#[derive(Clone, Copy)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    /// A straight line.
    pub(crate) fn line(&mut self, class: &str, from: [f64; 2], to: [f64; 2]) {
        let [[x1, y1], [x2, y2]] = [from, to].map(|at| at.map(Pixel));
        self.push(format!("<line class=\"{class}\" x1=\"{x1}\" y1=\"{y1}\" x2=\"{x2}\" y2=\"{y2}\"/>"));
    }

    /// Lines through points; a point that is no number parts what is before it from what is behind it.
    pub(crate) fn path(&mut self, class: &str, points: &[[f64; 2]]) {
        let mut path = String::new();
        for run in points.split(|point| !point.iter().all(|place| place.is_finite())) {
            let place = |(index, &[x, y]): (usize, &[f64; 2])| {
                format!("{}{} {}", if index == 0 { "M" } else { "L" }, Pixel(x), Pixel(y))
            };
            path.extend(run.iter().enumerate().map(place));
            if run.len() == 1 {
                // With round ends, a line of no length is a dot.
                path.push_str("h0");
            }
        }
        if !path.is_empty() {
            self.push(format!("<path class=\"{class}\" d=\"{path}\"/>"));
        }
    }

    /// A filled polygon.
    pub(crate) fn area(&mut self, class: &str, points: impl IntoIterator<Item = [f64; 2]>) {
        let points = points.into_iter().map(|[x, y]| format!("{},{}", Pixel(x), Pixel(y)));
        let points = points.collect::<Vec<_>>().join(" ");
        if !points.is_empty() {
            self.push(format!("<polygon class=\"{class}\" points=\"{points}\"/>"));
        }
    }

    /// A point, which says `tip` when it is pointed at.
    pub(crate) fn point(&mut self, class: &str, at: [f64; 2], radius: f64, tip: &str) {
        let [x, y] = at.map(Pixel);
        let radius = Pixel(radius);
        let tip = Escaped(tip);
        self.push(format!(
            "<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"><title>{tip}</title></circle>"
        ));
    }

    /// A line of text, `at` its base line.
    pub(crate) fn text(&mut self, class: &str, anchor: Anchor, at: [f64; 2], text: &str) {
        let [x, y] = at.map(Pixel);
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let text = Escaped(text);
        self.push(format!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\"{anchor}>{text}</text>"));
    }

    /// The picture as an element of a page that has the style sheet.
    pub(crate) fn inline(&self, size: [f64; 2], label: &str) -> String {
        self.element("", "", size, label)
    }

    /// The picture as a file of its own.
    pub(crate) fn document(&self, size: [f64; 2], label: &str, style: &str) -> String {
        let style = format!("<style>\n{style}</style>\n");
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n{}",
            self.element(" xmlns=\"http://www.w3.org/2000/svg\"", &style, size, label)
        )
    }

    fn element(&self, attributes: &str, style: &str, size: [f64; 2], label: &str) -> String {
        let [width, height] = size.map(Pixel);
        let label = Escaped(label);
        let body = &self.body;
        format!(
            "<svg{attributes} class=\"chart\" role=\"img\" aria-label=\"{label}\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\">\n{style}<rect class=\"plate\" width=\"{width}\" \
             height=\"{height}\"/>\n{body}</svg>\n"
        )
    }

    fn push(&mut self, mut element: String) {
        element.push('\n');
        self.body.push_str(&element);
    }
}

/// A place or extent, to a tenth of a pixel.
struct Pixel(f64);

impl fmt::Display for Pixel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Adding 0 makes -0 a 0.
        let tenths = (self.0 * 10.0).round() + 0.0;
        write!(f, "{}", tenths / 10.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_parted_where_there_is_no_number() {
        let mut svg = Svg::default();
        svg.path("a", &[[0.0, 1.04], [2.0, -0.01], [3.0, f64::NAN], [4.0, 5.0], [f64::NAN, 0.0]]);
        svg.path("a", &[[f64::NAN, 0.0]]);
        assert_eq!(svg.body, "<path class=\"a\" d=\"M0 1L2 0M4 5h0\"/>\n");
    }

    #[test]
    fn text_is_escaped() {
        let mut svg = Svg::default();
        svg.text("a", Anchor::End, [1.0, 2.0], "<&>");
        svg.point("b", [1.0, 2.0], 3.5, "\"");
        let expected = "<text class=\"a\" x=\"1\" y=\"2\" text-anchor=\"end\">&lt;&amp;&gt;</text>\n\
                        <circle class=\"b\" cx=\"1\" cy=\"2\" r=\"3.5\"><title>&quot;</title></circle>\n";
        assert_eq!(svg.body, expected);
        assert!(svg.inline([9.0, 8.0], "<").contains("aria-label=\"&lt;\" viewBox=\"0 0 9 8\""));
    }
}
