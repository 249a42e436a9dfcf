type Deep<T> = { a: Deep<[T, T]>, b: Deep<T[]> };
let x: Deep<number> = null as any;
let y: Deep<string> = x as any;
console.log(0);
