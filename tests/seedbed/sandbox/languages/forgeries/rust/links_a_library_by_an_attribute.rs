#[link(name = "evil", kind = "static")]
extern "C" { fn evil(); }
fn main() { unsafe { evil() } }
