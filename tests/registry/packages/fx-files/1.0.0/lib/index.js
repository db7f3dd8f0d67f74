module.exports = 'files';
