const NAME = /^[A-Za-z][A-Za-z0-9]*$/
const FIELD = /^[A-Za-z0-9][\w-]*(\.[A-Za-z0-9][\w-]*)*$/

/** How a member or dotted path is named in the store. @throws RangeError for what is more than a name */
export function pathOf(field: string): string {
  if (field === 'id') return '_id'
  if (!FIELD.test(field)) throw new RangeError(`'${field}' is no field name`)
  return field
}

/**
 * A collection, or a projection, in one version: `<name>_v<version>`, and in a later generation than the first
 * `<name>_v<version>_g<generation>`.
 */
export function storedName({ name, version }: { name: string; version: number }, generation = 1): string {
  if (!NAME.test(name)) throw new RangeError(`'${name}' is no name`)
  if (!Number.isSafeInteger(version) || version < 0) throw new RangeError(`${version} is no version`)
  return generation === 1 ? `${name}_v${version}` : `${name}_v${version}_g${generation}`
}
