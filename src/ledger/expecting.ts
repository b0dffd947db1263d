import type { TokenIndex } from '../application/authentication/tokenIndex.ts'
import type { Manage } from '../application/tokens/manage.ts'
import type { Rotations } from '../application/tokens/rotate.ts'

/**
 * Commands that announce each new secret to the index, so that its first use does not wait among those of unknown
 * tokens.
 */
export const expecting = (
  { expect }: TokenIndex,
  { create, ...others }: Manage,
  { rotate, ...rest }: Rotations,
): { manage: Manage; rotations: Rotations } => ({
  manage: {
    ...others,
    async create(...input) {
      const created = await create(...input)
      if (created.secret !== null) expect(created.secret)
      return created
    },
  },
  rotations: {
    ...rest,
    async rotate(...input) {
      const rotated = await rotate(...input)
      expect(rotated.secret)
      return rotated
    },
  },
})
