#include <stdexcept>
int main() { throw std::runtime_error("1281"); }
