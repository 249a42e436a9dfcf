import java.util.*;
public class Main {
    public static void main(String[] a) {
        List<long[]> all = new ArrayList<>();
        for (;;) all.add(new long[1 << 18]);
    }
}
