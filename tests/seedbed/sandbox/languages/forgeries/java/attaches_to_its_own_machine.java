public class Main {
    public static void main(String[] a) throws Exception {
        System.load("/box/evil.so");
    }
}
