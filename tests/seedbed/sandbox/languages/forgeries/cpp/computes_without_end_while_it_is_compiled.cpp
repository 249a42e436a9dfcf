constexpr long spin(long n) {
    long s = 0;
    for (long i = 0; i < n; i++) for (long j = 0; j < 200000; j++) s += i ^ j;
    return s;
}
template <long N> struct Many { static constexpr long value = spin(150) + Many<N - 1>::value; };
template <> struct Many<0> { static constexpr long value = 0; };
int main() { return Many<800>::value % 100; }
