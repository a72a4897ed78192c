//! Plots for documents: points or lines of several series over two axes, linear or logarithmic, as a picture.

use std::fmt::Write;

/// Width and height of the picture, and what is left of it for labels, in pixels.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = 50.0;

/// Colours of series, in order; they begin again after the last. Distinguishable with the common colour blindnesses.
const COLOURS: [&str; 6] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00"];

/// An axis.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What it shows, with the unit.
    pub label: String,
    /// Powers of ten are equally far apart.
    pub logarithmic: bool,
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A dot for each point.
    Dots,
    /// A line through the points.
    Line,
    /// A line that only guides the eye.
    Guide,
}

/// Points of one name. Those that a logarithmic axis cannot show are left out.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its name in the legend; empty: none.
    pub name: String,
    /// How it is drawn.
    pub mark: Mark,
    /// Its colour's place in the list of colours.
    pub colour: usize,
    /// Its points.
    pub points: Vec<(f64, f64)>,
}

/// A picture to be drawn.
#[derive(Clone, Debug)]
pub struct Plot {
    /// The heading.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// What is drawn, the first at the bottom.
    pub series: Vec<Series>,
}

/// Where the numbers on an axis lie in a decade.
const STEPS: [f64; 3] = [1.0, 2.0, 5.0];

/// From so many decades on only powers of ten have numbers.
const DECADES_MANY: f64 = 2.5;

/// Points of a series up to which they are drawn large.
const POINTS_FEW: usize = 64;

/// The logarithm of the largest of 1, 2 and 5 times a power of ten that is not above `value`.
fn below(value: f64) -> f64 {
    let power = value.log10().floor();
    let step = STEPS.into_iter().rev().find(|s| s * 10f64.powf(power) <= value * (1.0 + 1e-9));
    power + step.unwrap_or(1.0).log10()
}

/// From values to pixels.
struct Scale {
    logarithmic: bool,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// Over all `values`, from one of 1, 2 or 5 times a power of ten to another, or with zero.
    fn over(axis: &Axis, values: impl Iterator<Item = f64>, from: f64, to: f64) -> Scale {
        let usable = values.filter(|v| v.is_finite() && (!axis.logarithmic || *v > 0.0));
        let (mut low, mut high) = usable.fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if low > high {
            (low, high) = (1.0, 10.0);
        }
        if axis.logarithmic {
            (low, high) = (below(low), -below(1.0 / high));
        } else {
            low = low.min(0.0);
        }
        if high <= low {
            high = low + 1.0;
        }
        Scale { logarithmic: axis.logarithmic, low, high, from, to }
    }

    fn pixel(&self, value: f64) -> Option<f64> {
        let value = match self.logarithmic {
            true if value > 0.0 => value.log10(),
            true => return None,
            false => value,
        };
        let part = (value - self.low) / (self.high - self.low);
        part.is_finite().then_some(self.from + part * (self.to - self.from))
    }

    /// Values with a line and a number: decades, with 2 and 5 between them where they are few, or about six steps of 1, 2 or 5.
    fn ticks(&self) -> Vec<f64> {
        if self.logarithmic {
            let between: &[f64] = if self.high - self.low > DECADES_MANY { &[1.0] } else { &STEPS };
            let powers = self.low.floor() as i32..=self.high.floor() as i32;
            let all = powers.flat_map(|p| between.iter().map(move |step| step * 10f64.powi(p)));
            let within = |v: &f64| (self.low - 1e-9..=self.high + 1e-9).contains(&v.log10());
            return all.filter(within).collect();
        }
        let rough = (self.high - self.low) / 6.0;
        let power = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough).unwrap_or(rough);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last).map(|i| i as f64 * step).collect()
    }
}

impl Plot {
    /// Draws it.
    pub fn render(&self) -> String {
        let all = || self.series.iter().flat_map(|s| s.points.iter());
        let x = Scale::over(&self.x, all().map(|p| p.0), LEFT, WIDTH - RIGHT);
        let y = Scale::over(&self.y, all().map(|p| p.1), HEIGHT - BOTTOM, TOP);
        let mut svg = String::new();
        let _ = write!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n\
             <text x=\"{LEFT}\" y=\"20\" fill=\"#333333\">{}</text>\n",
            escaped(&self.title)
        );
        self.axes(&mut svg, &x, &y);
        for series in &self.series {
            draw(&mut svg, series, &x, &y);
        }
        self.legend(&mut svg);
        svg.push_str("</svg>\n");
        svg
    }

    fn axes(&self, svg: &mut String, x: &Scale, y: &Scale) {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        for tick in x.ticks() {
            let Some(at) = x.pixel(tick) else { continue };
            let _ = writeln!(
                svg,
                "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{TOP}\" y2=\"{bottom}\" stroke=\"#dddddd\"/>\
                 <text x=\"{at:.1}\" y=\"{:.1}\" fill=\"#777777\" text-anchor=\"middle\">{}</text>",
                bottom + 16.0,
                number(tick)
            );
        }
        for tick in y.ticks() {
            let Some(at) = y.pixel(tick) else { continue };
            let _ = writeln!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#dddddd\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#777777\" text-anchor=\"end\">{}</text>",
                LEFT - 6.0,
                at + 4.0,
                number(tick)
            );
        }
        let (middle_x, middle_y) = ((LEFT + right) / 2.0, (TOP + bottom) / 2.0);
        let _ = writeln!(
            svg,
            "<text x=\"{middle_x}\" y=\"{:.1}\" fill=\"#333333\" text-anchor=\"middle\">{}</text>\n\
             <text x=\"16\" y=\"{middle_y}\" fill=\"#333333\" text-anchor=\"middle\" transform=\"rotate(-90 16 {middle_y})\">{}</text>",
            HEIGHT - 12.0,
            escaped(&self.x.label),
            escaped(&self.y.label)
        );
    }

    fn legend(&self, svg: &mut String) {
        let named = self.series.iter().filter(|s| !s.name.is_empty());
        for (at, series) in named.enumerate() {
            let (x, y) = (WIDTH - RIGHT + 12.0, TOP + 8.0 + at as f64 * 18.0);
            let _ = writeln!(
                svg,
                "<rect x=\"{x}\" y=\"{:.1}\" width=\"10\" height=\"10\" fill=\"{}\"/><text x=\"{:.1}\" y=\"{:.1}\" fill=\"#333333\">{}</text>",
                y - 5.0,
                colour(series),
                x + 16.0,
                y + 4.0,
                escaped(&series.name)
            );
        }
    }
}

fn draw(svg: &mut String, series: &Series, x: &Scale, y: &Scale) {
    let points: Vec<(f64, f64)> =
        series.points.iter().filter_map(|(a, b)| Some((x.pixel(*a)?, y.pixel(*b)?))).collect();
    let colour = colour(series);
    if series.mark == Mark::Dots {
        let (radius, opacity) = if points.len() > POINTS_FEW { (2.2, 0.6) } else { (3.5, 0.8) };
        for (a, b) in points {
            let _ = writeln!(
                svg,
                "<circle cx=\"{a:.1}\" cy=\"{b:.1}\" r=\"{radius}\" fill=\"{colour}\" fill-opacity=\"{opacity}\"/>"
            );
        }
        return;
    }
    let path: Vec<String> = points.iter().map(|(a, b)| format!("{a:.1},{b:.1}")).collect();
    let dashes = if series.mark == Mark::Guide { " stroke-dasharray=\"4 3\"" } else { "" };
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"{dashes}/>",
        path.join(" ")
    );
}

fn colour(series: &Series) -> &'static str {
    match series.mark {
        Mark::Guide => "#999999",
        _ => COLOURS[series.colour % COLOURS.len()],
    }
}

/// A tick's number without the rounding of binary fractions.
fn number(value: f64) -> String {
    format!("{}", (value * 1e6).round() / 1e6)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(logarithmic: bool, points: Vec<(f64, f64)>) -> String {
        let axis = |label: &str| Axis { label: label.into(), logarithmic };
        let series = |mark| Series { name: "a <b>".into(), mark, colour: 7, points: points.clone() };
        let series = vec![series(Mark::Guide), series(Mark::Line), series(Mark::Dots)];
        Plot { title: "t & u".into(), x: axis("ms"), y: axis("us"), series }.render()
    }

    #[test]
    fn points_are_where_they_belong() {
        let svg = plot(false, vec![(0.0, 0.0), (10.0, 5.0)]);
        assert_eq!((svg.matches("<circle").count(), svg.matches("<polyline").count()), (2, 2), "{svg}");
        // The origin is at the lower left corner, the largest values at the other.
        assert!(svg.contains("cx=\"70.0\" cy=\"410.0\"") && svg.contains("cx=\"570.0\" cy=\"36.0\""), "{svg}");
        assert!(svg.contains("t &amp; u") && svg.contains("a &lt;b&gt;") && svg.ends_with("</svg>\n"), "{svg}");
    }

    #[test]
    fn decades_are_equally_far_apart_and_zero_is_left_out() {
        let svg = plot(true, vec![(0.0, 1.0), (1.0, 1.0), (10.0, 10.0), (100.0, 100.0)]);
        assert_eq!(svg.matches("<circle").count(), 3, "{svg}");
        assert!(svg.contains("cx=\"320.0\" cy=\"223.0\""), "{svg}");
    }

    #[test]
    fn a_logarithmic_axis_ends_near_its_values() {
        let svg = plot(true, vec![(30.0, 30.0), (1500.0, 1500.0)]);
        for tick in [">20<", ">50<", ">100<", ">1000<", ">2000<"] {
            assert_eq!(svg.matches(tick).count(), 2, "{tick}: {svg}");
        }
        assert!(!svg.contains(">10<") && !svg.contains(">5000<"), "{svg}");
        for (value, expected) in
            [(1.0, 0.0), (0.9, -1.0 + 5f64.log10()), (99.0, 1.0 + 5f64.log10()), (20.0, 20f64.log10())]
        {
            assert!((below(value) - expected).abs() < 1e-12, "{value}: {}", below(value));
        }
    }

    #[test]
    fn nothing_and_a_single_value_are_drawn() {
        for points in [vec![], vec![(3.0, 3.0)], vec![(f64::NAN, 1.0), (f64::INFINITY, 2.0)]] {
            for logarithmic in [false, true] {
                let svg = plot(logarithmic, points.clone());
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            }
        }
    }
}
