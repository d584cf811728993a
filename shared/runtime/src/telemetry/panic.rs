//! Panics as log lines.

use std::panic::PanicHookInfo;

use tracing::error;

/// Logs panics like everything else, with the place. The message only if it is fixed in the source: one that is made at
/// run time may quote a value (a slice error quotes the whole text), and values of people do not belong into a log.
pub(super) fn install_hook() {
    std::panic::set_hook(Box::new(|info| {
        let location = info.location().map(ToString::to_string);
        let thread = std::thread::current();
        error!(
            location = location.as_deref(),
            thread = thread.name(),
            reason = fixed_message(info),
            "panic"
        );
    }));
}

fn fixed_message(info: &PanicHookInfo<'_>) -> Option<&'static str> {
    info.payload().downcast_ref::<&'static str>().copied()
}
