fn main() { println!("{} {}", env!("HOME"), include_str!("/proc/self/environ")); }
