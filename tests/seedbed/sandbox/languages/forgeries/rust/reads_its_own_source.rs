fn main() { print!("{}", include_str!(file!())); }
