//! For which block times an execution would take the same course. Contracts compare the time with bounds (not before,
//! valid until) and rarely do anything else with it; then the answer holds until the time passes one of them.
//!
//! Every instruction that takes the block's time from the stack is seen. A comparison narrows the window; anything else
//! (arithmetic, memory, storage, a call, a jump) could carry the time into the answer, so the answer then holds at no other
//! block. A value that merely equals the time is treated like it, which errs on the safe side.

use alloy_primitives::U256;
use revm::{
    bytecode::opcode,
    inspector::Inspector,
    interpreter::{
        Interpreter,
        interpreter::EthInterpreter,
        interpreter_types::{Jumps, StackTr},
    },
};

/// Block times, in seconds since 1970: from `from`, before `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeWindow {
    from: U256,
    until: U256,
}

impl TimeWindow {
    const ALWAYS: Self = Self {
        from: U256::ZERO,
        until: U256::MAX,
    };

    /// Whether a block of this time is in it.
    pub fn contains(&self, time: u64) -> bool {
        let time = U256::from(time);
        self.from <= time && time < self.until
    }

    fn below(&mut self, bound: U256) {
        self.until = self.until.min(bound);
    }
    fn at_least(&mut self, bound: U256) {
        self.from = self.from.max(bound);
    }
}

/// Follows the time through one execution.
#[derive(Debug)]
pub(crate) struct TimeWatch {
    time: U256,
    read: bool,
    window: Option<TimeWindow>,
}

impl TimeWatch {
    pub(crate) const fn new(time: U256) -> Self {
        Self {
            time,
            read: false,
            window: Some(TimeWindow::ALWAYS),
        }
    }

    /// When the execution is the same; `None` when at no other time than this.
    pub(crate) const fn window(&self) -> Option<TimeWindow> {
        self.window
    }

    fn takes(&mut self, instruction: u8, stack: &[U256]) {
        // These move values and do not look at them.
        if matches!(instruction, opcode::POP | opcode::DUP1..=opcode::SWAP16) {
            return;
        }
        let inputs = opcode::OPCODE_INFO
            .get(usize::from(instruction))
            .copied()
            .flatten()
            .map_or(0, |info| usize::from(info.inputs()));
        let from = stack.len().saturating_sub(inputs);
        let Some(taken) = stack.get(from..).filter(|taken| taken.contains(&self.time)) else {
            return;
        };
        let known = match (instruction, taken) {
            // The top of the stack is the left operand.
            (opcode::LT, &[right, left]) => self.compared(left, right),
            (opcode::GT, &[right, left]) => self.compared(right, left),
            (opcode::AND, &[one, other]) => self.masked(if one == self.time { other } else { one }),
            _ => false,
        };
        if !known {
            self.window = None;
        }
    }

    /// `smaller < larger` was asked.
    fn compared(&mut self, smaller: U256, larger: U256) -> bool {
        let (time, Some(window)) = (self.time, &mut self.window) else {
            return false;
        };
        match (smaller == time, larger == time) {
            // time < larger
            (true, false) if time < larger => window.below(larger),
            (true, false) => window.at_least(larger),
            // smaller < time
            (false, true) if smaller < time => window.at_least(smaller.saturating_add(U256::ONE)),
            (false, true) => window.below(smaller.saturating_add(U256::ONE)),
            _ => return false,
        }
        true
    }

    /// Cut to a narrower type, which changes nothing for times that fit.
    fn masked(&mut self, mask: U256) -> bool {
        let is_mask = (mask & mask.wrapping_add(U256::ONE)).is_zero();
        match &mut self.window {
            Some(window) if is_mask && self.time & mask == self.time && mask != self.time => {
                window.below(mask.saturating_add(U256::ONE));
                true
            }
            _ => false,
        }
    }
}

impl<C> Inspector<C, EthInterpreter> for TimeWatch {
    fn step(&mut self, interpreter: &mut Interpreter<EthInterpreter>, _: &mut C) {
        let instruction = interpreter.bytecode.opcode();
        if instruction == opcode::TIMESTAMP {
            self.read = true;
        } else if self.read && self.window.is_some() {
            self.takes(instruction, StackTr::data(&interpreter.stack));
        }
    }
}
