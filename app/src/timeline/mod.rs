//! The timeline: lanes over time, with a ruler, zoom, pan, hover and selection.
//!
//! - [`time_scale`]: nanoseconds to points and back; [`ruler`]: ticks. Neither knows egui.
//! - [`pieces`]: what one row shows at one scale.
//! - [`lane`]: what a lane is, and which there are: [`work_lane`] and [`request_lane`].
//! - [`brush`]: what lanes paint with.
//! - [`navigate`]: mouse and keyboard.
//! - [`view`]: the widget; [`paint`]: its picture.

pub mod brush;
pub mod lane;
pub mod navigate;
pub mod paint;
pub mod pieces;
pub mod request_lane;
pub mod ruler;
pub mod time_scale;
pub mod view;
pub mod work_lane;
