public class Main {
    public static void main(String[] a) throws Exception {
        new java.net.Socket("127.0.0.1", 80).close();
        System.out.println(1281);
    }
}
