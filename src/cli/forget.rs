//! `forget`: takes symbols off the books of which the provider never had a bar, such as misspelt ones.

use std::time::Duration;

use clap::Args;

use super::exit::{CliError, Exit};
use super::output::counted;
use super::session::CliSession;
use super::symbols::{read_legal_symbols, tell_absent};
use crate::domain::Dataset;
use crate::domain::ports::{Forgotten, SymbolBarsRepository as _};

/// What the help shows after the flags.
pub(super) const EXAMPLES: &str = "\
Examples:
  marketpipe forget --symbols APPL
  marketpipe forget --symbols APPL,MFST --dataset alpaca/sip/raw

What was asked for and answered with nothing stays in `status`, `gaps` and `validate`, so that an empty answer is never taken for a \
success. This is for symbols that should not have been asked for. Nothing that is held is ever deleted: a symbol with a single bar, \
a row in quarantine, a revision or a lost file stays as it is, and the exit code is 3.";

#[derive(Debug, Args)]
pub(super) struct ForgetArgs {
    /// Symbols, separated by commas; @NAME for a list of the configuration
    #[arg(long, required = true, value_delimiter = ',', value_name = "A,B")]
    symbols: Vec<String>,
    /// Only in this dataset: provider/feed/adjustment, such as alpaca/sip/raw
    #[arg(long, value_name = "DATASET")]
    dataset: Option<Dataset>,
    /// How long to wait for another process that commits
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    wait: u64,
}

/// Forgets, and says what became of each; exit 3 where one stays or is not known.
pub(super) fn run(session: &CliSession, args: &ForgetArgs) -> Result<Exit, CliError> {
    let symbols = read_legal_symbols(session, &args.symbols)?;
    // Nothing is made where nothing is kept.
    if !session.app.directory().database().exists() {
        return Err(session.nothing_kept());
    }
    let wait = Duration::from_secs(args.wait);
    let stores = session.app.open_stores(session.events(), wait)?;
    // An ingest at work would put its symbols back.
    session.app.refuse_while_at_work()?;
    let mut known = Vec::with_capacity(symbols.len());
    let mut is_short = false;
    for symbol in &symbols {
        let became = stores.ledger.forget(symbol, args.dataset.as_ref())?;
        known.extend((!became.is_empty()).then_some(symbol));
        for (dataset, forgotten) in became {
            match forgotten {
                Forgotten::Sessions(count) => session.say(&format!(
                    "forgot {symbol} in {dataset}: {} without a bar",
                    counted(count, "session")
                )),
                Forgotten::Nothing => {
                    is_short = true;
                    session.insist(&format!(
                        "{symbol} in {dataset} stays: there are bars or rows of it, or were until a file was lost"
                    ));
                }
            }
        }
    }
    let what = "nothing was asked for";
    is_short |= tell_absent(session, what, &symbols, args.dataset.as_ref(), known);
    Ok(Exit::Done.or_partial(is_short))
}
