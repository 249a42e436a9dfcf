template <int N, int D> struct Tree {
    static constexpr long value = Tree<2 * N, D - 1>::value + Tree<2 * N + 1, D - 1>::value;
};
template <int N> struct Tree<N, 0> { static constexpr long value = N; };
int main() { return Tree<1, 26>::value; }
