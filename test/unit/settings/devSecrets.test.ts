import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { keysOf, warnOfMadePeppers } from '../../../src/settings/devSecrets.ts'
import { isFile, isOnThisMachine } from '../../../src/settings/parsers.ts'
import { readSettings, SettingsError } from '../../../src/settings/settings.ts'

const PEPPERS = `k1:${Buffer.alloc(32, 7).toString('base64')}`
const files = { EVENT_STORE_URL: 'sqlite:./events.db', READ_MODEL_URL: 'sqlite:/var/model.db' }
const inMemory = { EVENT_STORE_URL: 'sqlite::memory:', READ_MODEL_URL: 'sqlite::memory:' }

const problemsOf = (env: Record<string, string>, isNear: (url: string) => boolean): readonly string[] => {
  try {
    readSettings(env, { isNear })
    return []
  } catch (error) {
    if (error instanceof SettingsError) return error.problems
    throw error
  }
}

describe('a pepper of one’s own making', () => {
  it('is for stores in files or in memory, and in the service for servers on this machine', () => {
    for (const near of [files, inMemory]) {
      expect(problemsOf(near, isFile)).to.deep.equal([])
      expect(problemsOf(near, isOnThisMachine)).to.deep.equal([])
    }
    for (const url of [
      'mongodb://localhost/tokens',
      'mongodb://user:p%40ss@127.0.0.1:27017/tokens?replicaSet=rs0',
      'mongodb://[::1]:27017,127.8.9.1,LOCALHOST:1/',
    ]) {
      expect(problemsOf({ ...files, READ_MODEL_URL: url }, isFile), url).to.have.lengthOf(1)
      expect(problemsOf({ ...files, READ_MODEL_URL: url }, isOnThisMachine), url).to.deep.equal([])
    }
    for (const url of ['esdb://localhost:2113?tls=false', 'esdb+discover://admin:changeit@127.0.0.1:2113']) {
      expect(problemsOf({ ...files, EVENT_STORE_URL: url }, isFile), url).to.have.lengthOf(1)
      expect(problemsOf({ ...files, EVENT_STORE_URL: url }, isOnThisMachine), url).to.deep.equal([])
    }
  })

  it('is refused elsewhere by a problem that names TOKEN_PEPPERS and the store, and never its URL', () => {
    for (const url of [
      'mongodb://db.example/tokens',
      'mongodb://localhost,db.example/tokens',
      'mongodb://localhost@db.example/tokens',
      'mongodb://127.0.0.1.example/tokens',
      'mongodb+srv://localhost/tokens',
    ]) {
      const [problem = ''] = problemsOf({ ...files, READ_MODEL_URL: url }, isOnThisMachine)
      expect(problem, url).to.contain('TOKEN_PEPPERS').and.to.contain('READ_MODEL_URL')
      expect(problem).not.to.contain('example')
      expect(
        problemsOf({ ...files, READ_MODEL_URL: url, TOKEN_PEPPERS: PEPPERS }, isOnThisMachine),
      ).to.deep.equal([])
    }
    for (const url of [
      'esdb://es.example:2113?tls=false',
      'esdb+discover://localhost:2113,es.example:2113?tls=false',
    ]) {
      const [problem = ''] = problemsOf({ ...files, EVENT_STORE_URL: url }, isOnThisMachine)
      expect(problem, url).to.contain('TOKEN_PEPPERS').and.to.contain('EVENT_STORE_URL')
    }
  })

  it('is said at each start, with the file that it is kept in, unless it goes with the store', () => {
    const lines: object[] = []
    const log = { warn: (fields: object, message: string) => void lines.push({ ...fields, message }) }
    warnOfMadePeppers(readSettings(files), log)
    expect(lines).to.have.lengthOf(1)
    expect(JSON.stringify(lines)).to.contain('dev-secrets.json').and.to.contain('TOKEN_PEPPERS')
    warnOfMadePeppers(readSettings({ ...files, TOKEN_PEPPERS: PEPPERS }), log)
    warnOfMadePeppers(readSettings(inMemory), log)
    expect(lines).to.have.lengthOf(1)
  })

  it('is named with its file where that holds no keys, and the file stays as it is', () => {
    const folder = mkdtempSync(join(tmpdir(), 'tokenledger-secrets-'))
    const file = join(folder, 'dev-secrets.json')
    const sound = { jwtSecret: 'x'.repeat(32), peppers: PEPPERS }
    for (const held of [{}, { ...sound, peppers: 'x' }, { ...sound, jwtSecret: 'short' }, null]) {
      writeFileSync(file, JSON.stringify(held))
      expect(() => keysOf(readSettings(files), file), JSON.stringify(held)).to.throw(`${file} is damaged`)
      expect(readFileSync(file, 'utf8')).to.equal(JSON.stringify(held))
    }
    writeFileSync(file, JSON.stringify(sound))
    expect(keysOf(readSettings(files), file)).to.deep.include({ developmentSecret: sound.jwtSecret })
    rmSync(folder, { recursive: true })
  })

  it('is another one for each ledger in memory', () => {
    const [one, other] = [keysOf(readSettings(inMemory)), keysOf(readSettings(inMemory))]
    expect(one.peppers).not.to.deep.equal(other.peppers)
  })
})
