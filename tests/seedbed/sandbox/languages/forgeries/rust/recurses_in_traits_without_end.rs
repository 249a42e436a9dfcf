#![recursion_limit = "1000000000"]
trait Deep { const N: u64; }
struct S<T>(T);
impl<T> Deep for S<T> where S<S<T>>: Deep { const N: u64 = <S<S<T>> as Deep>::N + 1; }
fn main() { println!("{}", <S<u8> as Deep>::N); }
