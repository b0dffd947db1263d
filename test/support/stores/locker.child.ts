import { openPlain } from '../../../src/adapters/sqlite/database/database.ts'

// Another program that has a database open and keeps a lock on it until it is killed.
const [path = '', sql = ''] = process.argv.slice(2)
const database = await openPlain(path)
database.exec('PRAGMA busy_timeout = 5000')
database.exec(sql)
console.log('held')
setInterval(() => database.path, 60_000)
