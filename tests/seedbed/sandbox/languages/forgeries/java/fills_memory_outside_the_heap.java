import java.nio.ByteBuffer;
import java.util.*;
public class Main {
    public static void main(String[] a) throws Exception {
        var field = sun.misc.Unsafe.class.getDeclaredField("theUnsafe");
        field.setAccessible(true);
        var unsafe = (sun.misc.Unsafe) field.get(null);
        for (int i = 0; i < 4000; i++) {
            long at = unsafe.allocateMemory(1 << 20);
            unsafe.setMemory(at, 1 << 20, (byte) 1);
        }
        System.out.println(1281);
    }
}
