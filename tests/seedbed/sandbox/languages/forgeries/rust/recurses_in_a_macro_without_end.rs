macro_rules! grow { ($($x:tt)*) => { grow!($($x)* $($x)* a) } }
fn main() { grow!(a b); }
