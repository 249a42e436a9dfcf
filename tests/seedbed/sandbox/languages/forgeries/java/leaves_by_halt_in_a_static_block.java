public class Main {
    static { Runtime.getRuntime().halt(0); }
    public static void main(String[] a) { }
}
