//! Panels of lines, one below the other, over one horizontal axis.

use super::axis::{Axis, Scale, number};
use super::svg::{Anchor, Svg};

/// How everything in a chart looks, by light and by dark.
pub(crate) const STYLE: &str = include_str!("chart.css");

/// How many colours the style sheet has.
const COLORS: usize = 8;

/// How wide a letter is, on average, in the widest of the fonts that may be there.
const LETTER: f64 = 7.0;

/// Around everything.
const PAD: f64 = 12.0;

/// A row of text.
const ROW: f64 = 18.0;

/// From a panel to the next one's title.
const GAP: f64 = 10.0;

/// The most rows that texts of marks take; more are left out, their lines are there.
const MARK_ROWS: usize = 4;

/// With more points than these, only the line through them is drawn.
const MOST_POINTS: usize = 200;

/// A chart.
pub(crate) struct Chart {
    /// What it shows, for those who do not see it.
    pub(crate) label: String,
    /// In pixels.
    pub(crate) width: f64,
    /// What the horizontal axis counts, written below it unless it is empty.
    pub(crate) across: &'static str,
    pub(crate) axis: Axis,
    pub(crate) panels: Vec<Panel>,
    pub(crate) marks: Vec<Mark>,
    pub(crate) keys: Vec<Key>,
    /// A line below the keys.
    pub(crate) note: &'static str,
}

/// Lines over one vertical axis.
pub(crate) struct Panel {
    pub(crate) title: String,
    /// Of the plotting area, in pixels.
    pub(crate) height: f64,
    pub(crate) axis: Axis,
    pub(crate) bands: Vec<Band>,
    pub(crate) lines: Vec<Line>,
    pub(crate) rings: Vec<Ring>,
}

/// A line; NaN parts it.
pub(crate) struct Line {
    pub(crate) color: usize,
    pub(crate) style: Style,
    pub(crate) points: Vec<[f64; 2]>,
}

/// How a line is drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// Noise behind another line.
    Faint,
    Plain,
    /// Strong, with its points.
    Points,
    /// Each value holds until the next.
    Steps,
}

/// An area, as (across, lower edge, upper edge).
pub(crate) struct Band {
    pub(crate) color: usize,
    pub(crate) edges: Vec<[f64; 3]>,
}

/// A point to be noticed.
pub(crate) struct Ring {
    pub(crate) color: usize,
    pub(crate) at: [f64; 2],
}

/// A moment, marked through all panels.
pub(crate) struct Mark {
    pub(crate) at: f64,
    /// Above its line.
    pub(crate) text: String,
    pub(crate) color: Option<usize>,
}

/// What a colour stands for.
pub(crate) struct Key {
    pub(crate) color: usize,
    pub(crate) text: String,
}

/// A text above a mark.
struct Notice {
    text: String,
    color: Option<usize>,
    left: f64,
    bottom: f64,
}

/// Where the panels are, from left to right.
struct Columns {
    left: f64,
    width: f64,
}

impl Chart {
    /// The chart as a file of its own.
    pub(crate) fn document(&self) -> String {
        let (svg, size) = self.draw();
        svg.document(size, &self.label, STYLE)
    }

    /// The chart as an element of a page that has its [`STYLE`].
    pub(crate) fn inline(&self) -> String {
        let (svg, size) = self.draw();
        svg.inline(size, &self.label)
    }

    fn draw(&self) -> (Svg, [f64; 2]) {
        let mut svg = Svg::default();
        let labels = self.panels.iter().flat_map(|panel| panel.axis.ticks());
        let widest = labels.map(|tick| extent(&tick.label)).fold(extent("100 %"), f64::max);
        let left = PAD + widest + 8.0;
        let columns = Columns { left, width: self.width - left - PAD - 6.0 };
        let mut top = self.draw_keys(&mut svg, &columns);
        let notices = self.notices(&columns, top);
        top = notices.iter().flatten().map(|notice| notice.bottom).fold(top, f64::max);
        for (index, panel) in self.panels.iter().enumerate() {
            if index > 0 {
                top += GAP;
            }
            let title = [columns.left, top + 13.0];
            top += ROW + 2.0;
            self.draw_frame(&mut svg, &columns, panel, top);
            for (mark, notice) in self.marks.iter().zip(&notices) {
                let x = columns.left + self.axis.place(mark.at) * columns.width;
                // The first panel's reaches up to the text.
                let from = notice.as_ref().filter(|_| index == 0).map_or(top, |notice| notice.bottom - 1.0);
                let class = mark.color.map_or_else(|| "neutral".to_owned(), class);
                svg.line(&format!("mark {class}"), [x, from], [x, top + panel.height]);
            }
            self.draw_lines(&mut svg, &columns, panel, top);
            svg.text("title", Anchor::Start, title, &panel.title);
            top += panel.height;
        }
        for notice in notices.iter().flatten() {
            let class =
                notice.color.map_or_else(|| "muted".to_owned(), |color| format!("tinted {}", class(color)));
            svg.text(&class, Anchor::Start, [notice.left, notice.bottom - 5.0], &notice.text);
        }
        for tick in self.axis.ticks() {
            let x = columns.left + self.axis.place(tick.value) * columns.width;
            svg.text("muted", Anchor::Middle, [x, top + 16.0], &tick.label);
        }
        top += ROW;
        if !self.across.is_empty() {
            svg.text("muted", Anchor::Middle, [columns.left + columns.width / 2.0, top + 15.0], self.across);
            top += ROW;
        }
        (svg, [self.width, (top + PAD / 2.0).ceil()])
    }

    /// Draws the keys in as many rows as they take, and returns where they end.
    fn draw_keys(&self, svg: &mut Svg, columns: &Columns) -> f64 {
        const SWATCH: f64 = 26.0;
        let (mut x, mut y) = (columns.left, PAD);
        for key in &self.keys {
            let text = shortened(&key.text, columns.width - SWATCH);
            let width = SWATCH + extent(&text);
            if x > columns.left && x + width > columns.left + columns.width {
                (x, y) = (columns.left, y + ROW);
            }
            let class = class(key.color);
            svg.path(&format!("line strong {class}"), &[[x, y + 9.0], [x + 20.0, y + 9.0]]);
            svg.point(&class, [x + 10.0, y + 9.0], 3.0, &key.text);
            svg.text("key", Anchor::Start, [x + SWATCH, y + 13.0], &text);
            x += width + 18.0;
        }
        if !self.keys.is_empty() {
            y += ROW;
        }
        if !self.note.is_empty() {
            svg.text("muted", Anchor::Start, [columns.left, y + 13.0], self.note);
            y += ROW;
        }
        if y > PAD { y + 4.0 } else { y }
    }

    /// Where the text of each mark goes: in the first row where it is clear of the others, if there is one.
    fn notices(&self, columns: &Columns, top: f64) -> Vec<Option<Notice>> {
        let right = columns.left + columns.width;
        let mut rows: [Vec<[f64; 2]>; MARK_ROWS] = Default::default();
        let place = |mark: &Mark| {
            let text = shortened(&mark.text, columns.width);
            let x = columns.left + self.axis.place(mark.at) * columns.width;
            let left = (x - 3.0).min(right - extent(&text)).max(columns.left);
            let [from, to] = [left - 8.0, left + extent(&text) + 8.0];
            let row = rows.iter().position(|row| row.iter().all(|taken| to < taken[0] || taken[1] < from))?;
            rows[row].push([left, to - 8.0]);
            Some(Notice { text, color: mark.color, left, bottom: top + (row + 1) as f64 * ROW })
        };
        self.marks.iter().map(place).collect()
    }

    fn draw_frame(&self, svg: &mut Svg, columns: &Columns, panel: &Panel, top: f64) {
        let (left, right) = (columns.left, columns.left + columns.width);
        let bottom = top + panel.height;
        for tick in panel.axis.ticks() {
            let y = bottom - panel.axis.place(tick.value) * panel.height;
            svg.line("grid", [left, y], [right, y]);
            svg.text("muted", Anchor::End, [left - 6.0, y + 4.0], &tick.label);
        }
        for tick in self.axis.ticks() {
            let x = left + self.axis.place(tick.value) * columns.width;
            svg.line("grid", [x, top], [x, bottom]);
        }
        svg.line("frame", [left, bottom], [right, bottom]);
        svg.line("frame", [left, top], [left, bottom]);
    }

    fn draw_lines(&self, svg: &mut Svg, columns: &Columns, panel: &Panel, top: f64) {
        let place = |[x, y]: [f64; 2]| {
            let across = columns.left + self.axis.place(x) * columns.width;
            [across, top + (1.0 - panel.axis.place(y)) * panel.height]
        };
        for band in &panel.bands {
            let known = band.edges.iter().filter(|edge| edge.iter().all(|value| value.is_finite()));
            let lower = known.clone().map(|&[x, low, _]| place([x, low]));
            let upper = known.rev().map(|&[x, _, high]| place([x, high]));
            svg.area(&format!("band {}", class(band.color)), lower.chain(upper));
        }
        for line in &panel.lines {
            let class = class(line.color);
            let style = match line.style {
                Style::Faint => "faint",
                Style::Points => "strong",
                Style::Plain | Style::Steps => "plain",
            };
            let points = match line.style {
                Style::Steps => steps(&line.points).into_iter().map(place).collect::<Vec<_>>(),
                _ => line.points.iter().copied().map(place).collect(),
            };
            svg.path(&format!("line {style} {class}"), &points);
            if line.style == Style::Points && points.len() <= MOST_POINTS {
                for (&at, &[x, y]) in points.iter().zip(&line.points).filter(|(_, [_, y])| y.is_finite()) {
                    let tip = format!("{} {}: {}", self.across, number(x), panel.axis.write(y));
                    svg.point(&class, at, 3.0, &tip);
                }
            }
        }
        for ring in &panel.rings {
            let tip =
                format!("best: {} at {} {}", panel.axis.write(ring.at[1]), self.across, number(ring.at[0]));
            svg.point(&format!("{} ring", class(ring.color)), place(ring.at), 6.5, &tip);
        }
    }
}

impl Panel {
    /// A panel for `lines`; none where they hold no number. The axis is logarithmic where values are more than `factor`
    /// times as large as others, which the title then says.
    pub(crate) fn of(title: &str, height: f64, factor: f64, lines: Vec<Line>) -> Option<Self> {
        let values = lines.iter().flat_map(|line| line.points.iter().map(|point| point[1]));
        let axis = Axis::around(values, factor)?;
        let title = match axis.scale() {
            Scale::Linear => title.to_owned(),
            Scale::Logarithmic => format!("{title} (logarithmic)"),
        };
        Some(Self { title, height, axis, bands: Vec::new(), lines, rings: Vec::new() })
    }
}

/// A line that goes on level from each point, until it is above or below the next.
fn steps(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let mut corners = Vec::new();
    for pair in points.windows(2) {
        corners.push(pair[0]);
        if pair[0][1] != pair[1][1] {
            corners.push([pair[1][0], pair[0][1]]);
        }
    }
    corners.extend(points.last());
    corners
}

fn class(color: usize) -> String {
    format!("c{}", color % COLORS)
}

/// How wide a text is, about.
fn extent(text: &str) -> f64 {
    text.chars().count() as f64 * LETTER
}

/// The text, or as much of its beginning as there is room for.
fn shortened(text: &str, room: f64) -> String {
    let most = (room / LETTER).max(1.0) as usize;
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(marks: Vec<Mark>) -> Chart {
        let points = vec![[0.0, 1.0], [1.0, f64::NAN], [2.0, 3.0]];
        let line = Line { color: 9, style: Style::Points, points };
        Chart {
            label: "a <chart>".to_owned(),
            width: 400.0,
            across: "epoch",
            axis: Axis::to(2.0),
            panels: vec![Panel::of("loss", 100.0, 100.0, vec![line]).unwrap()],
            marks,
            keys: vec![Key { color: 0, text: "a very long name of a run ".repeat(9) }],
            note: "",
        }
    }

    #[test]
    fn texts_of_marks_are_clear_of_each_other() {
        let mark = |at| Mark { at, text: "conv5 thawed".to_owned(), color: None };
        let text = chart(vec![mark(0.5), mark(0.6), mark(2.0)]).document();
        let places = text.lines().filter(|line| line.contains(">conv5 thawed<")).collect::<Vec<_>>();
        let y = |line: &str| line.split("y=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        assert!(y(places[0]) != y(places[1]) && y(places[0]) == y(places[2]), "{places:?}");
        let many = chart((0..20).map(|_| mark(1.0)).collect()).document();
        assert_eq!(many.matches(">conv5 thawed<").count(), MARK_ROWS);
        assert_eq!(many.matches("class=\"mark neutral\"").count(), 20);
    }

    #[test]
    fn points_say_what_they_are_and_gaps_stay() {
        let text = chart(Vec::new()).inline();
        assert!(text.contains("<title>epoch 2: 3</title>"), "{text}");
        assert_eq!(text.matches("<title>epoch").count(), 2);
        assert!(text.contains("class=\"line strong c1\"") && text.contains("h0M"));
        assert!(text.contains("…</text>") && !text.contains("xmlns"));
    }

    #[test]
    fn values_hold_until_the_next() {
        let corners = steps(&[[0.0, 1.0], [2.0, 1.0], [4.0, 0.1]]);
        assert_eq!(corners, [[0.0, 1.0], [2.0, 1.0], [4.0, 1.0], [4.0, 0.1]]);
        assert!(Panel::of("rate", 9.0, 9.0, Vec::new()).is_none());
    }
}
