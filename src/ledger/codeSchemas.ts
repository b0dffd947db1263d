import { camelCase, camelCased } from '../presentation/names.ts'

interface ObjectSchema {
  properties: Record<string, object>
  required: readonly string[]
}

/** The schema of HTTP input, with the names that members have in code. */
export const inCode = ({ properties, required, ...schema }: ObjectSchema): object => ({
  ...schema,
  required: required.map(camelCase),
  properties: camelCased(
    Object.fromEntries(
      Object.entries(properties).map(([name, member]) => [
        name,
        // Its values are names of members.
        name === 'sort' ? valuesInCode(member) : member,
      ]),
    ),
  ),
})

function valuesInCode(member: { enum?: readonly string[]; default?: unknown }): object {
  const renamed = (value: unknown) => (typeof value === 'string' ? camelCase(value) : value)
  return member.enum
    ? { ...member, enum: member.enum.map(renamed), default: renamed(member.default) }
    : member
}

/** How a command is to be carried out. Over HTTP, this is in headers and in the query. */
export const commandOptions = {
  type: 'object',
  additionalProperties: false,
  required: ['actor'],
  properties: {
    actor: { type: 'string' },
    idempotencyKey: { type: 'string' },
    ifMatch: { type: ['integer', 'string'] },
    scopes: { type: 'array', items: { type: 'string' } },
    reason: { type: 'string' },
  },
} as const
