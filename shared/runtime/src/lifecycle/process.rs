//! The runtime of a process.

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use super::Exit;

/// How long blocking work may take to end after everything else has.
const LEFTOVERS: Duration = Duration::from_millis(500);

/// Runs the main future of a process on a runtime of its own, and makes the exit code of its end.
///
/// What is still running when the future ends is left behind: dropping a runtime waits for blocking calls, and dropping a
/// client of a dead server may never end.
pub fn run_process(main: impl Future<Output = Exit>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start the runtime");
            return Exit::Failed.into();
        }
    };
    let exit = runtime.block_on(main);
    match exit {
        Exit::Clean | Exit::Failed | Exit::Misconfigured => runtime.shutdown_timeout(LEFTOVERS),
        Exit::Panicked | Exit::GraceExceeded | Exit::Signalled(_) => runtime.shutdown_background(),
    }
    exit.into()
}
