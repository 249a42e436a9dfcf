public class Main {
    public static void main(String[] a) { for (;;) System.out.println("1281"); }
}
