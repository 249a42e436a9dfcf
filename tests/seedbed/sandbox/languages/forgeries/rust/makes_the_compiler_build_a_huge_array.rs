static BIG: [u8; 1 << 34] = [1; 1 << 34];
fn main() { println!("{}", BIG[9]); }
