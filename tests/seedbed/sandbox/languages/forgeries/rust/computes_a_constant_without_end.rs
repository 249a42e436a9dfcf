#![allow(long_running_const_eval)]
const fn spin() -> u64 { let mut i = 0u64; loop { i = i.wrapping_mul(3).wrapping_add(1); if i == 7 && i == 8 { return i; } } }
const X: u64 = spin();
fn main() { println!("{X}"); }
