const NAME = /^[A-Za-z][A-Za-z0-9]*$/
const FIELD = /^[A-Za-z0-9][\w-]*(\.[A-Za-z0-9][\w-]*)*$/

/** The name of a member or dotted path in the store. @throws RangeError for text that is not only a name */
export function pathOf(field: string): string {
  if (field === 'id') return '_id'
  if (!FIELD.test(field)) throw new RangeError(`'${field}' is no field name`)
  return field
}

/**
 * The stored name of a collection or a projection: `<name>_v<version>`; from the second generation on
 * `<name>_v<version>_g<generation>`.
 */
export function storedName({ name, version }: { name: string; version: number }, generation = 1): string {
  if (!NAME.test(name)) throw new RangeError(`'${name}' is no name`)
  if (!Number.isSafeInteger(version) || version < 0) throw new RangeError(`${version} is no version`)
  return generation === 1 ? `${name}_v${version}` : `${name}_v${version}_g${generation}`
}
