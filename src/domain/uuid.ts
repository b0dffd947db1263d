const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** Is it a UUID as this product writes it, with lower-case letters? */
export const isUuid = (value: unknown): value is string => typeof value === 'string' && UUID.test(value)
