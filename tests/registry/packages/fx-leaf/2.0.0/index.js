module.exports = 'leaf 2.0.0';
