import { json } from './output.ts'

/** Writes a JSON object whose first member is a list of any length, item by item. The other members come last. */
export function jsonList(write: (text: string) => Promise<void>, name: string) {
  let isEmpty = true
  const open = (): string => (isEmpty ? `{\n  ${JSON.stringify(name)}: [` : ',')
  return {
    async add(item: object): Promise<void> {
      const before = open()
      isEmpty = false
      await write(`${before}\n    ${JSON.stringify(item)}`)
    },
    /** @param rest the other members. At least one is needed */
    async end(rest: object): Promise<void> {
      await write(`${isEmpty ? open() : '\n  '}],${json(rest).slice(1)}`)
    },
  }
}
