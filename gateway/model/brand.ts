/** Brands: a primitive that carries its meaning, so that a `GrantId` is not just any string. */

declare const brand: unique symbol
export type Brand<T, Name extends string> = T & { readonly [brand]: Name }
