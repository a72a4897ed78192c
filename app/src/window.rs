//! Opens the window, or says what is missing for one.

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::ValueEnum;
use eframe::egui::{self, ViewportBuilder};
use eframe::{CreationContext, Frame, NativeOptions};

use crate::app::{App, Options};
use crate::theme::Theme;

/// What draws the window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Renderer {
    /// Vulkan, Metal or DX12
    #[default]
    Wgpu,
    /// OpenGL; on a machine without a GPU three to five times as fast
    Glow,
}

/// Why there is no window.
#[derive(Debug, thiserror::Error)]
pub enum WindowError {
    /// No screen.
    #[error(
        "no display: {0}. Start it in a graphical session, or with `ssh -X`; without a screen a virtual one will do \
         (Debian: apt-get install xvfb xauth libxkbcommon-x11-0 libxcursor1 libxi6, then `xvfb-run cotenant-app`)"
    )]
    NoDisplay(String),
    /// Nothing that draws.
    #[error(
        "nothing can draw the window: {0}. Install a driver, a software one will do (Debian: apt-get install \
         mesa-vulkan-drivers libvulkan1, or for --renderer glow: libgl1-mesa-dri libegl1 libgl1), or try --renderer {1}"
    )]
    NoRenderer(String, &'static str),
    /// The window was there and broke.
    #[error("internal error, please report it: {0}")]
    Internal(String),
}

impl WindowError {
    /// The exit status: 3 when something of the machine is missing.
    pub fn status(&self) -> u8 {
        match self {
            WindowError::NoDisplay(_) | WindowError::NoRenderer(..) => 3,
            WindowError::Internal(_) => 1,
        }
    }
}

/// Shows the window until it is closed.
///
/// # Errors
/// [`WindowError`] when it cannot be opened.
pub fn run(options: Options, renderer: Renderer) -> Result<(), WindowError> {
    let native = NativeOptions {
        viewport: ViewportBuilder::default()
            .with_title("Cotenant")
            .with_app_id("cotenant-app")
            .with_inner_size([1400.0, 860.0])
            .with_min_inner_size([700.0, 420.0]),
        renderer: match renderer {
            Renderer::Wgpu => eframe::Renderer::Wgpu,
            Renderer::Glow => eframe::Renderer::Glow,
        },
        ..NativeOptions::default()
    };
    let opened = Arc::new(AtomicBool::new(false));
    let told = opened.clone();
    let create = move |creation: &CreationContext<'_>| -> Result<Box<dyn eframe::App>, _> {
        told.store(true, Ordering::Relaxed);
        let ctx = creation.egui_ctx.clone();
        let delay = if draws_on_cpu(creation) { CPU_FRAME } else { Duration::ZERO };
        Ok(Box::new(Window(App::new(options, Arc::new(move || ctx.request_repaint_after(delay))))))
    };
    let panic_text = note_panics();
    // Libraries of the window system that are not installed make winit panic.
    let ended = panic::catch_unwind(AssertUnwindSafe(|| eframe::run_native("cotenant-app", native, Box::new(create))));
    match ended {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(reason(&error, renderer)),
        Err(_) => {
            let text = panic_text.lock().unwrap_or_else(PoisonError::into_inner).clone();
            Err(if opened.load(Ordering::Relaxed) { WindowError::Internal(text) } else { WindowError::NoDisplay(text) })
        }
    }
}

/// News of a run are drawn this much later where Vulkan is emulated on the CPU, which has the models to compute as well: a
/// frame of the whole window takes it about 80 ms (Mesa 22.3, two cores; OpenGL 20 ms). Input is drawn at once.
const CPU_FRAME: Duration = Duration::from_millis(300);

fn draws_on_cpu(creation: &CreationContext<'_>) -> bool {
    let adapter = creation.wgpu_render_state.as_ref().map(|state| state.adapter.get_info().device_type);
    adapter == Some(eframe::wgpu::DeviceType::Cpu)
}

/// Keeps the text of the last panic instead of printing each.
fn note_panics() -> Arc<Mutex<String>> {
    let last = Arc::new(Mutex::new(String::new()));
    let note = last.clone();
    panic::set_hook(Box::new(move |info| {
        *note.lock().unwrap_or_else(PoisonError::into_inner) = info.to_string().replace('\n', " ");
    }));
    last
}

fn reason(error: &eframe::Error, renderer: Renderer) -> WindowError {
    let text = error.to_string();
    match error {
        eframe::Error::Winit(_) | eframe::Error::WinitEventLoop(_) => {
            // Before the last colon are places in winit's sources.
            let cause = text.rsplit(": ").next().unwrap_or(&text).trim_end_matches('.');
            WindowError::NoDisplay(cause.into())
        }
        _ => {
            let other = if renderer == Renderer::Wgpu { "glow" } else { "wgpu" };
            WindowError::NoRenderer(text, other)
        }
    }
}

/// What eframe calls.
struct Window(App);

impl eframe::App for Window {
    fn ui(&mut self, ui: &mut egui::Ui, _: &mut Frame) {
        self.0.ui(ui);
    }

    fn on_exit(&mut self, _: Option<&eframe::glow::Context>) {
        self.0.end();
    }

    /// The timeline lies on it without a background of its own: filling pixels is what costs on a CPU.
    fn clear_color(&self, visuals: &egui::Visuals) -> [f32; 4] {
        Theme::of(visuals).background.to_normalized_gamma_f32()
    }
}
