//! The way from a server to the store, and how it goes wrong.

use std::sync::Arc;

use tessera::store::memory::{Mischief, Plot, Verb};
use tessera_contract::scripted::mischief::Gate;

use crate::executor::Actor;
use crate::several::Shared;

/// How calls of one server go wrong.
pub(crate) fn plot(shared: &Shared, has_others: bool, server: usize, name: &str) -> Arc<Plot> {
    let (shared, name) = (shared.clone(), name.to_owned());
    Arc::new(move |verb| {
        let mischief = chosen(&shared, has_others, server, verb)?;
        // Of one that is cut off that was said.
        if shared.lock().cut_off[server] {
            return Some(mischief);
        }
        shared.tell(&name, None, || {
            let what = match &mischief {
                Mischief::Fail => "does nothing: the store is out of reach",
                Mischief::LoseAnswer => "is done, and its answer is lost",
                Mischief::Delay(_) => "is done late",
                Mischief::DelayAnswer(_) => "is done, and its answer is late",
                Mischief::Conflict => "conflicts",
            };
            format!("{verb:?} of the store {what}")
        });
        Some(mischief)
    })
}

/// Asked again and again, mostly for nothing: whatever goes wrong with the rest matters more.
fn is_poll(verb: Verb) -> bool {
    matches!(verb, Verb::Queued | Verb::Load | Verb::Active | Verb::Canceling | Verb::Leftovers | Verb::Enlist)
}

fn can_conflict(verb: Verb) -> bool {
    matches!(verb, Verb::Claim | Verb::Record | Verb::RequestCancel | Verb::TakeOver)
}

fn chosen(shared: &Shared, has_others: bool, server: usize, verb: Verb) -> Option<Mischief> {
    let mut inner = shared.lock();
    if !inner.faults {
        return None;
    }
    if inner.cut_off[server] {
        inner.tally.fault("the store was out of reach of a server");
        return Some(Mischief::Fail);
    }
    let slow_store = inner.slow_store && matches!(verb, Verb::Record | Verb::Standing);
    let odds = if is_poll(verb) { 400 } else { 40 };
    // A late look is no old one, but a late answer is.
    let slow = if verb == Verb::Standing { 3 } else { 2 };
    let chosen = if slow_store && inner.dice.one_in(3) { slow } else { inner.dice.below(odds) };
    let (kind, mischief): (_, fn(Gate) -> Mischief) = match chosen {
        0 => ("a call of the store failed", |_| Mischief::Fail),
        1 => ("an answer of the store was lost", |_| Mischief::LoseAnswer),
        2 => ("a call of the store was late", Mischief::Delay),
        3 => ("an answer of the store was late", Mischief::DelayAnswer),
        4 if has_others && can_conflict(verb) => ("a call of the store conflicted", |_| Mischief::Conflict),
        _ => return None,
    };
    inner.tally.fault(kind);
    // Mostly a moment; now and then longer than any lease.
    let most = if slow_store || inner.dice.one_in(5) { 3 * inner.lease_ms } else { 3_000 };
    let ms = inner.dice.below(most);
    drop(inner);
    let gate = Gate::closed();
    let opening = (shared.clone(), gate.clone());
    shared.spawn(Actor::Network, async move {
        let (shared, gate) = opening;
        shared.sleep(ms).await;
        gate.open();
    });
    Some(mischief(gate))
}
